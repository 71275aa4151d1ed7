-- Call events told to the administrator's systems.
SELECT;
