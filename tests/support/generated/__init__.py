"""Generated conversations: the same random messages to PostgreSQL and through Reeve.

| file | owns |
|---|---|
| `steps.py` | a conversation as data that JSON can hold, and its bytes |
| `grammar.py` | what is said at random: a seed makes a conversation |
| `conversation.py` | saying it: cut into pieces, read while it is written, with a deadline |
| `referee.py` | which differences are allowed, and why |
| `shrink.py` | the least of a conversation that still fails |
| `arena.py` | the two servers, and the company that takes the backend away meanwhile |

A conversation is a dict: `steps` (a list of lists, the first item says which message), `cut` (how its
bytes are cut into writes) and `copy_in` (whether it may COPY FROM, which row isolation refuses).
"""
