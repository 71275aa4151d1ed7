-- Schemas by owner. Who writes where:
--   whatsapp  the bridge (numbers, calls at Meta, webhook events)
--   pbx       the Stasis application (agents, routes, calls, offers)
--   cdr       Asterisk itself, through cdr_pgsql
--   reports   nobody: views that people query
CREATE SCHEMA whatsapp;
CREATE SCHEMA pbx;
CREATE SCHEMA cdr;
CREATE SCHEMA reports;

COMMENT ON SCHEMA whatsapp IS 'Facts about Meta: business numbers, calls as Meta sees them, webhook events. Written by the bridge.';
COMMENT ON SCHEMA pbx IS 'Facts about the contact centre: agents, routes, calls, offers. Written by the Stasis application.';
COMMENT ON SCHEMA cdr IS 'Call detail records as Asterisk writes them (cdr_pgsql).';
COMMENT ON SCHEMA reports IS 'What people query. Views only.';
