"""Values of users: how they are walked through, weighed, compared by digests and pickled."""
