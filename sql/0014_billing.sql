-- Rates, balance and charges of outbound calls.
SELECT;
