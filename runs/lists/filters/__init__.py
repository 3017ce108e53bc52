"""The filter language: what a request may ask for, field by field, and the conditions that this means to the database.

Every column that can be asked for stands in a filter class; nothing that a client sends becomes a name in a query.
"""
