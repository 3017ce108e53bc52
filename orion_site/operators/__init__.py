"""The operators' room: lists of bounded cost for Django's admin, actions that ask first, and an index of subjects."""
