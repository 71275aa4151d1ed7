-- Which calls a number's limit counts: those that were let in, and not yet those that are being judged.
ALTER TABLE pbx.calls ADD COLUMN admitted_at timestamptz;
CREATE INDEX ON pbx.calls (number) WHERE state <> 'ended' AND admitted_at IS NOT NULL;
COMMENT ON COLUMN pbx.calls.admitted_at IS 'When it was let in; kept only for numbers with a limit of calls at once';
