-- There is no way back along a stream any more: going back copies. $1 move, $2 why
UPDATE reeve.move SET offline = true, error = $2, lag_bytes = NULL WHERE id = $1
