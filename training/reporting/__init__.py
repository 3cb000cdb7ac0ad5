"""Progress, text and HTML shared by all reports."""
