-- cdr_pgsql fills every column whose name is a CDR variable; the last two are set in the dialplan (extensions_whatsapp.conf).
CREATE TABLE cdr.cdr (
    calldate         timestamptz NOT NULL DEFAULT now(),
    clid             text NOT NULL DEFAULT '',
    src              text NOT NULL DEFAULT '',
    dst              text NOT NULL DEFAULT '',
    dcontext         text NOT NULL DEFAULT '',
    channel          text NOT NULL DEFAULT '',
    dstchannel       text NOT NULL DEFAULT '',
    lastapp          text NOT NULL DEFAULT '',
    lastdata         text NOT NULL DEFAULT '',
    start            timestamptz,
    answer           timestamptz,
    "end"            timestamptz,
    duration         integer NOT NULL DEFAULT 0,
    billsec          integer NOT NULL DEFAULT 0,
    disposition      text NOT NULL DEFAULT '',
    amaflags         integer NOT NULL DEFAULT 0,
    accountcode      text NOT NULL DEFAULT '',
    peeraccount      text NOT NULL DEFAULT '',
    uniqueid         text NOT NULL DEFAULT '',
    linkedid         text NOT NULL DEFAULT '',
    sequence         integer NOT NULL DEFAULT 0,
    userfield        text NOT NULL DEFAULT '',
    whatsapp_call_id text,
    channel_type     text
);
CREATE INDEX ON cdr.cdr (linkedid);
CREATE INDEX ON cdr.cdr (calldate);
CREATE INDEX ON cdr.cdr (whatsapp_call_id) WHERE whatsapp_call_id IS NOT NULL;
COMMENT ON TABLE cdr.cdr IS 'Asterisk''s own call detail records, one or more per call';
COMMENT ON COLUMN cdr.cdr.linkedid IS 'The same for all CDRs of one call';
COMMENT ON COLUMN cdr.cdr.whatsapp_call_id IS 'Meta''s call id; on exactly one CDR of a WhatsApp call';
COMMENT ON COLUMN cdr.cdr.channel_type IS 'WhatsApp Call, or null for Voice';
