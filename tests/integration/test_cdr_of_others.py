"""What sql/README.md says about a `cdr` table that is there already: its SQL is run as it is printed."""

import re
import uuid
from pathlib import Path

import asyncpg
import pytest

from ari_app.runtime.postgres import EmbeddedPostgres

README = Path(__file__).resolve().parents[2] / "sql/README.md"

#: As cdr_pgsql's own documentation has had it for years.
OLD_TABLE = """
CREATE TABLE public.cdr (
    calldate timestamptz NOT NULL, clid varchar(80) NOT NULL, src varchar(80) NOT NULL, dst varchar(80) NOT NULL,
    dcontext varchar(80) NOT NULL, channel varchar(80) NOT NULL, dstchannel varchar(80) NOT NULL,
    lastapp varchar(80) NOT NULL, lastdata varchar(80) NOT NULL, duration int NOT NULL, billsec int NOT NULL,
    disposition varchar(45) NOT NULL, amaflags int NOT NULL, accountcode varchar(20) NOT NULL,
    uniqueid varchar(150) NOT NULL, userfield varchar(255) NOT NULL
);
INSERT INTO public.cdr VALUES ('2020-01-01 10:00Z', '"Bob" <1002>', '1002', '1001', 'phones', 'PJSIP/1002-00000001',
    'PJSIP/1001-00000002', 'Dial', 'x', 70, 60, 'ANSWERED', 3, '', '1577872800.1', '')
"""

NEW_ROW = """
INSERT INTO public.cdr (calldate, clid, src, dst, dcontext, channel, dstchannel, lastapp, lastdata, duration, billsec,
                        disposition, amaflags, accountcode, uniqueid, userfield, linkedid, start, answer, "end")
VALUES (now(), '', '1002', '1001', 'phones', 'PJSIP/1002-00000003', '', 'Dial', 'x', 9, 0, 'NO ANSWER', 3, '', 'u', '',
        'l', now() - interval '9 s', NULL, now())
"""


@pytest.fixture
def printed() -> list[str]:
    return re.findall(r"^```sql\n(.*?)^```$", README.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


async def test_a_table_that_was_there_gives_records_of_old_and_new_calls(
    postgres: EmbeddedPostgres, database: str, printed: list[str]
) -> None:
    queries, columns, copying, old_rows = printed
    name = database.rpartition("/")[2]
    writer = f"writer_{uuid.uuid4().hex[:8]}"
    await postgres.create_role(writer)
    await postgres.execute("GRANT CREATE ON SCHEMA public TO asterisk_whatsapp", name)
    owner = await asyncpg.connect(database)
    try:
        for statement in (OLD_TABLE, columns, copying, old_rows, queries):
            await owner.execute(statement)
        await owner.execute(f"GRANT INSERT ON public.cdr TO {writer}")
        asterisk = await asyncpg.connect(postgres.dsn(name, writer))
        await asterisk.execute(NEW_ROW)
        await asterisk.close()
        old, new = await owner.fetch("SELECT * FROM reports.call_records ORDER BY started_at")
        assert (old["user_number"], old["user_name"], old["status"]) == ("1002", "Bob", "Answered")
        assert (old["wait_seconds"], old["duration"], old["agent"]) == (10, "00:01:00", "PJSIP/1001")
        assert (new["linkedid"], new["status"], new["wait_seconds"]) == ("l", "Missed", 9)

        await owner.execute("ALTER TABLE cdr.cdr ADD CHECK (linkedid <> 'l') NOT VALID")
        asterisk = await asyncpg.connect(postgres.dsn(name, writer))
        await asterisk.execute(NEW_ROW)
        await asterisk.close()
        assert await owner.fetchval("SELECT count(*) FROM public.cdr") == 3
        assert await owner.fetchval("SELECT count(*) FROM cdr.cdr") == 2
    finally:
        await owner.close()
