-- The agent desk and the live page.
SELECT;
