-- Who may use the console, their sessions, and who changed what.
SELECT;
