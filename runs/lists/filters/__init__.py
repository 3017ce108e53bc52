"""The filter language: the fields that a request may filter by, and their conditions in the database.

Each column that can be filtered by is named in a filter class; nothing that a client sends becomes a name in a query.
"""
