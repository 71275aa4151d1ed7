-- Rates, balance and charges of outbound calls. Money is numeric(18,6): Meta's prices are hundredths of a cent for a pulse.

CREATE TABLE pbx.billing (
    only_row        boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    enabled         boolean NOT NULL DEFAULT false,
    currency        text NOT NULL DEFAULT 'USD' CHECK (currency ~ '^[A-Z]{3}$'),
    reserve_seconds integer NOT NULL DEFAULT 60 CHECK (reserve_seconds BETWEEN 6 AND 3600),
    end_calls       boolean NOT NULL DEFAULT true,
    warn_seconds    integer NOT NULL DEFAULT 15 CHECK (warn_seconds BETWEEN 0 AND 300),
    balance         numeric(18, 6) NOT NULL DEFAULT 0 CHECK (balance >= 0),
    held            numeric(18, 6) NOT NULL DEFAULT 0 CHECK (held BETWEEN 0 AND balance)
);
INSERT INTO pbx.billing DEFAULT VALUES;
COMMENT ON TABLE pbx.billing IS 'One row: whether outbound calls cost money here, and how much there is. Balances change by the functions below only';
COMMENT ON COLUMN pbx.billing.reserve_seconds IS 'For so much talking money is held when a call goes out, and again while it goes on, s';
COMMENT ON COLUMN pbx.billing.end_calls IS 'End a running call when the money runs out; else it goes on, and what nobody can pay is in pbx.charges.unpaid';
COMMENT ON COLUMN pbx.billing.warn_seconds IS 'So long before that the agent hears a tone, s; 0: never';
COMMENT ON COLUMN pbx.billing.held IS 'The part of the balance that running calls may still use up';

CREATE TABLE pbx.rates (
    id                  uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    number              text NOT NULL CHECK (number ~ '^[0-9]{1,15}$'),
    destination         text NOT NULL CHECK (destination ~ '^([A-Z]{2}|[0-9]{1,15}|\*)$'),
    price_per_minute    numeric(12, 6) NOT NULL CHECK (price_per_minute >= 0),
    first_pulse_seconds integer NOT NULL DEFAULT 6 CHECK (first_pulse_seconds BETWEEN 1 AND 600),
    next_pulse_seconds  integer NOT NULL DEFAULT 6 CHECK (next_pulse_seconds BETWEEN 1 AND 600),
    currency            text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    valid_from          timestamptz NOT NULL DEFAULT now(),
    UNIQUE (number, destination, valid_from)
);
COMMENT ON TABLE pbx.rates IS 'What calls of a business number cost; the rates of a number are its quotation';
COMMENT ON COLUMN pbx.rates.number IS 'The business number that calls; it may be known here before it is configured';
COMMENT ON COLUMN pbx.rates.destination IS 'Digits that called numbers begin with (the longest match counts), else an ISO 3166 country, else * for everywhere';
COMMENT ON COLUMN pbx.rates.valid_from IS 'Counts from then on, until a later one does';

CREATE FUNCTION pbx.keep_currency() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.balance <> 0 THEN
        RAISE EXCEPTION 'the balance is in %: correct it to 0 before the currency changes', OLD.currency USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER keep_currency BEFORE UPDATE OF currency ON pbx.billing
    FOR EACH ROW WHEN (NEW.currency <> OLD.currency) EXECUTE FUNCTION pbx.keep_currency();

CREATE FUNCTION pbx.has_quotation(wanted text) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (SELECT FROM pbx.rates r, pbx.billing b
                    WHERE r.number = wanted AND r.valid_from <= now() AND r.currency = b.currency)
$$;

-- Allow Voice Calling of a WhatsApp number needs its quotation while calls cost money.
CREATE FUNCTION pbx.calling_needs_quotation() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT enabled FROM pbx.billing) AND NOT pbx.has_quotation(NEW.number)
       AND EXISTS (SELECT FROM whatsapp.numbers WHERE display_number = NEW.number) THEN
        RAISE EXCEPTION 'voice calling of number % cannot be switched on before its quotation exists: set rates for it first', NEW.number
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER calling_needs_quotation_new AFTER INSERT ON pbx.routes
    FOR EACH ROW WHEN (NEW.calling_enabled) EXECUTE FUNCTION pbx.calling_needs_quotation();
CREATE TRIGGER calling_needs_quotation AFTER UPDATE OF calling_enabled ON pbx.routes
    FOR EACH ROW WHEN (NEW.calling_enabled AND NOT OLD.calling_enabled) EXECUTE FUNCTION pbx.calling_needs_quotation();
CREATE FUNCTION pbx.billing_needs_quotations() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lacking text;
BEGIN
    SELECT string_agg(r.number, ', ' ORDER BY r.number) INTO lacking
      FROM pbx.routes r JOIN whatsapp.numbers n ON n.display_number = r.number
     WHERE r.calling_enabled AND NOT pbx.has_quotation(r.number);
    IF lacking IS NOT NULL THEN
        RAISE EXCEPTION 'billing in % cannot be switched on while numbers may call without a quotation: set rates for %', NEW.currency, lacking
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER billing_needs_quotations AFTER UPDATE OF enabled, currency ON pbx.billing
    FOR EACH ROW WHEN (NEW.enabled AND (NOT OLD.enabled OR NEW.currency <> OLD.currency))
    EXECUTE FUNCTION pbx.billing_needs_quotations();

-- Every change of balance or held money, for good.
CREATE TABLE pbx.ledger (
    entry         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    kind          text NOT NULL CHECK (kind IN ('top_up', 'correction', 'hold', 'release', 'charge')),
    amount        numeric(18, 6) NOT NULL DEFAULT 0,
    held          numeric(18, 6) NOT NULL DEFAULT 0,
    balance_after numeric(18, 6) NOT NULL CHECK (balance_after >= 0),
    held_after    numeric(18, 6) NOT NULL CHECK (held_after BETWEEN 0 AND balance_after),
    currency      text NOT NULL,
    call_id       uuid,
    made_by       text NOT NULL CHECK (length(made_by) BETWEEN 1 AND 128),
    note          text CHECK (length(note) <= 500),
    CHECK ((kind IN ('hold', 'release', 'charge')) = (call_id IS NOT NULL))
);
CREATE INDEX ON pbx.ledger (call_id) WHERE call_id IS NOT NULL;
CREATE UNIQUE INDEX ON pbx.ledger (call_id) WHERE kind = 'charge';
COMMENT ON COLUMN pbx.ledger.amount IS 'What the balance changed by: the sum of all is the balance';
COMMENT ON COLUMN pbx.ledger.held IS 'What the held money changed by: the sum of all is what is held';
CREATE FUNCTION pbx.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only: correct an entry by a further one' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON pbx.ledger
    FOR EACH STATEMENT EXECUTE FUNCTION pbx.refuse_change();

-- What one outbound call costs: from the first hold to the settlement.
CREATE TABLE pbx.charges (
    call_id             uuid PRIMARY KEY REFERENCES pbx.calls ON DELETE CASCADE,
    destination         text NOT NULL,
    price_per_minute    numeric(12, 6) NOT NULL,
    first_pulse_seconds integer NOT NULL,
    next_pulse_seconds  integer NOT NULL,
    currency            text NOT NULL,
    from_balance        boolean NOT NULL,
    held                numeric(18, 6) NOT NULL DEFAULT 0 CHECK (held >= 0),
    opened_at           timestamptz NOT NULL DEFAULT now(),
    settled_at          timestamptz,
    fee_seconds         integer CHECK (fee_seconds >= 0),
    price               numeric(18, 6) CHECK (price >= 0),
    unpaid              numeric(18, 6) CHECK (unpaid BETWEEN 0 AND price),
    CHECK (settled_at IS NULL OR (fee_seconds IS NOT NULL AND price IS NOT NULL AND unpaid IS NOT NULL AND held = 0))
);
CREATE INDEX ON pbx.charges (opened_at) WHERE settled_at IS NULL;
COMMENT ON COLUMN pbx.charges.from_balance IS 'Paid from the balance here; else the administrator''s own system, which was asked, sees to it';
COMMENT ON COLUMN pbx.charges.fee_seconds IS 'Answered time in started pulses, s';
COMMENT ON COLUMN pbx.charges.unpaid IS 'The part of the price that the balance did not cover';

-- One after the other by the lock on the row: two calls at once cannot spend the same money.
CREATE FUNCTION pbx.post(what text, change numeric, hold numeric, call uuid, who text, why text) RETURNS numeric
LANGUAGE plpgsql AS $$
DECLARE
    now_is pbx.billing;
BEGIN
    UPDATE pbx.billing SET balance = balance + change, held = held + hold RETURNING * INTO now_is;
    INSERT INTO pbx.ledger (kind, amount, held, balance_after, held_after, currency, call_id, made_by, note)
    VALUES (what, change, hold, now_is.balance, now_is.held, now_is.currency, call, who, why);
    RETURN now_is.balance;
END $$;

-- A top-up, or a correction (which may be negative, but takes no money that is held).
CREATE FUNCTION pbx.book(what text, sum numeric, who text, why text) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    free numeric;
BEGIN
    SELECT balance - held INTO free FROM pbx.billing FOR UPDATE;
    IF what = 'top_up' AND sum <= 0 OR what NOT IN ('top_up', 'correction') OR sum = 0 THEN
        RAISE EXCEPTION 'a top-up is more than 0' USING ERRCODE = 'check_violation';
    ELSIF free + sum < 0 THEN
        RAISE EXCEPTION 'the balance has only % that no call holds', free USING ERRCODE = 'check_violation';
    END IF;
    RETURN pbx.post(what, sum, 0, NULL, who, why);
END $$;

-- Hold `wanted` for a call, or what is free where that is at least `least`; what is held now for the call, null if refused.
CREATE FUNCTION pbx.hold(call uuid, wanted numeric, least_sum numeric) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
    free numeric;
    got numeric;
BEGIN
    SELECT balance - held INTO free FROM pbx.billing FOR UPDATE;
    got := least(wanted, free);
    PERFORM FROM pbx.charges WHERE call_id = call AND settled_at IS NULL AND from_balance FOR UPDATE;
    IF NOT FOUND OR got < least_sum OR got <= 0 AND wanted > 0 THEN
        RETURN NULL;
    END IF;
    IF got > 0 THEN
        PERFORM pbx.post('hold', 0, got, call, 'call', NULL);
        UPDATE pbx.charges SET held = held + got WHERE call_id = call;
    END IF;
    RETURN (SELECT held FROM pbx.charges WHERE call_id = call);
END $$;

-- End a call's account: give back what is held, charge the price. The second time nothing happens.
CREATE FUNCTION pbx.settle(call uuid, seconds integer, cost numeric) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    open_charge pbx.charges;
    paid numeric := 0;
BEGIN
    PERFORM FROM pbx.billing FOR UPDATE;
    SELECT * INTO open_charge FROM pbx.charges WHERE call_id = call AND settled_at IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF open_charge.held > 0 THEN
        PERFORM pbx.post('release', 0, -open_charge.held, call, 'call', NULL);
    END IF;
    IF open_charge.from_balance THEN
        SELECT least(cost, balance - held) INTO paid FROM pbx.billing;
        IF paid > 0 THEN
            PERFORM pbx.post('charge', -paid, 0, call, 'call', NULL);
        END IF;
    END IF;
    UPDATE pbx.charges
       SET held = 0, settled_at = now(), fee_seconds = seconds, price = cost,
           unpaid = CASE WHEN from_balance THEN cost - paid ELSE 0 END
     WHERE call_id = call;
    RETURN true;
END $$;
