-- What the contact centre must not forget over a restart.
SELECT;
