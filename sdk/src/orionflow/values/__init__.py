"""Values of users: how they are traversed, weighed, compared by digests and pickled."""
