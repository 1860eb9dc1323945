-- Whether the administrator has to be made a member of a role to act for it. $1 role
SELECT NOT pg_catalog.pg_has_role(current_user, $1::text::name, 'USAGE')
