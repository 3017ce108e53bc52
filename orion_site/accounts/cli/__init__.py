"""`orion user`, `orion group` and `orion key`, which use the database on the server's machine.

They import Django late.
"""

from __future__ import annotations

from orionflow.cli.lazy import LazyGroup

user = LazyGroup(
    "user",
    "orion_site.accounts.cli.users",
    help="Users of the server, on its own machine: people who sign in, and service accounts, which have keys only.",
    entries={
        "ls": "List users with their roles.",
        "create": "Create a user; the password is asked for.",
        "set-password": "Set the password of a user.",
        "set-groups": "Set the groups of a user.",
        "link": "Let a user sign in by single sign-on.",
        "disable": "Disable a user and all their keys.",
        "enable": "Enable a disabled user.",
        "delete": "Delete a user and their keys.",
    },
    examples=(
        ("orion user create ada --role admin", "the first one opens the server to other machines"),
        ("orion user create ci --service --role deployer", "for a program"),
        ("orion user ls", ""),
    ),
)
group = LazyGroup(
    "group",
    "orion_site.accounts.cli.groups",
    help="Groups of users, on the server's own machine. A user may do what the roles of the groups allow.",
    entries={
        "ls": "List groups with their roles and members.",
        "create": "Create a group with roles.",
        "set-roles": "Set the roles of a group.",
        "delete": "Delete a group; its members stay.",
    },
    examples=(("orion group create night-shift --role operator", ""), ("orion group ls", "")),
)
key = LazyGroup(
    "key",
    "orion_site.accounts.cli.keys",
    help="API keys, on the server's own machine. A program sends one as a bearer token, or by ORION_API_KEY.",
    entries={
        "ls": "List keys, and when they were last used.",
        "create": "Create a key, and show it once.",
        "revoke": "Revoke a key at once.",
    },
    examples=(
        ("orion key create agent-1 --role agent", "with a service account of that name"),
        ("orion key create laptop --user ada", "may do what ada may"),
        ("orion key ls", ""),
    ),
)
