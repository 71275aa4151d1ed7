"""The statements that read and write the tables of the configuration; rows travel as JSON.

`jsonb_populate_recordset` gives each value the type of its column, and a domain's check is made on the way.
"""

from ari_app.store.configuration.tables import Table

#: Any constant does, so long as nothing else in the database locks on it.
LOCK_KEY = 0x77615F636667

_MEMBER = (
    "jsonb_to_recordset($1::jsonb) AS r(group_name text, endpoint text, priority integer) "
    "JOIN pbx.agents a USING (endpoint)"
)

_READ_MEMBERS = """
SELECT m.group_name, a.endpoint, m.priority FROM pbx.group_members m JOIN pbx.agents a ON a.id = m.agent_id
"""

#: Agents that a call still names. (Who is reserved for one, is asked in it this moment.)
AGENTS_WITH_CALLS = """
SELECT endpoint FROM pbx.agents a
 WHERE endpoint = ANY($1)
   AND (EXISTS (SELECT FROM pbx.offers WHERE agent_id = a.id) OR EXISTS (SELECT FROM pbx.calls WHERE agent_id = a.id)
        OR EXISTS (SELECT FROM pbx.agent_states WHERE agent_id = a.id AND call_id IS NOT NULL))
 ORDER BY endpoint
"""
NUMBERS_WITH_CALLS = """
SELECT display_number FROM whatsapp.numbers n
 WHERE phone_number_id = ANY($1)
   AND (EXISTS (SELECT FROM whatsapp.calls c WHERE c.phone_number_id = n.phone_number_id)
        OR EXISTS (SELECT FROM whatsapp.permission_requests r WHERE r.phone_number_id = n.phone_number_id))
 ORDER BY display_number
"""

#: Two rows may exchange what only one may have: both let go of it first.
LET_GO_OF_EXTENSIONS = "UPDATE pbx.agents SET extension = NULL WHERE endpoint = ANY($1)"
LET_GO_OF_NUMBERS = """
UPDATE whatsapp.numbers n SET display_number = lpad(r.position::text, 15, '0')
  FROM unnest($1::text[]) WITH ORDINALITY AS r(phone_number_id, position)
 WHERE n.phone_number_id = r.phone_number_id
"""


def select(table: Table) -> str:
    """One JSON array of all rows."""
    columns = ", ".join((*table.key, *table.columns))
    source = f"({_READ_MEMBERS}) r" if table.name == "pbx.group_members" else table.name
    return f"SELECT coalesce(json_agg(row_to_json(t)), '[]')::text FROM (SELECT {columns} FROM {source}) t"  # noqa: S608


def insert(table: Table) -> str:
    if table.name == "pbx.group_members":
        return (
            "INSERT INTO pbx.group_members (group_name, agent_id, priority) "  # noqa: S608
            f"SELECT r.group_name, a.id, r.priority FROM {_MEMBER}"
        )
    columns = ", ".join((*table.key, *table.columns))
    return f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {_populated(table)}"  # noqa: S608


def update(table: Table) -> str:
    if table.name == "pbx.group_members":
        return (
            f"UPDATE pbx.group_members m SET priority = r.priority FROM {_MEMBER} "  # noqa: S608
            "WHERE m.group_name = r.group_name AND m.agent_id = a.id"
        )
    settings = ", ".join(f"{column} = r.{column}" for column in table.columns)
    return f"UPDATE {table.name} t SET {settings} FROM {_populated(table)} WHERE {_same(table)}"  # noqa: S608


def delete(table: Table) -> str:
    if table.name == "pbx.group_members":
        return (
            f"DELETE FROM pbx.group_members m USING {_MEMBER} "  # noqa: S608
            "WHERE m.group_name = r.group_name AND m.agent_id = a.id"
        )
    return f"DELETE FROM {table.name} t USING {_populated(table)} WHERE {_same(table)}"  # noqa: S608


def _populated(table: Table) -> str:
    return f"jsonb_populate_recordset(NULL::{table.name}, $1::jsonb) r"


def _same(table: Table) -> str:
    return " AND ".join(f"t.{column} = r.{column}" for column in table.key)
