"""iCalendar documents, as calendar programs export them: their time zones, their events, and the resulting times."""
