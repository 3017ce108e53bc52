"""Who did what, when, from where and with which key, as rows that follow from each other and are never changed."""
