"""Deployments, schedules and calendars on the wire."""
