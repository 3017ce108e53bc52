"""The settings of the server: their meaning, value and source, and the page that changes some of them."""
