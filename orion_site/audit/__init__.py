"""The audit log: who did what, when, from where and with which key, as a chain of rows that are never changed."""
