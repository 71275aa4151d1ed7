-- Call records at size, and the figures of agents and groups.
SELECT;
