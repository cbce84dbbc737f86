"""What the log asks of its SQLite file, and tells it."""

from __future__ import annotations

from typing import Final

NEWEST = """
SELECT max((SELECT ifnull(max(position), 0) FROM records),
           (SELECT ifnull(max(position), 0) FROM private_memories),
           (SELECT ifnull(max(position), 0) FROM damaged))
"""
COUNTS = "SELECT lineage, records, private_memories, (SELECT count(*) FROM damaged) FROM log"
COUNT = """
UPDATE log SET records = records + ?, private_memories = private_memories + ?,
               lineage = CASE WHEN ? THEN randomblob(16) ELSE lineage END
"""
INSERT_RECORD = """
INSERT INTO records (position, id, kind, hlc_ms, header, signature, signature_sum, body, packed)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""
INSERT_PRIVATE = """
INSERT INTO private_memories (position, id, created_ms, body)
VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING
"""
ERASE = (
    "UPDATE records SET body = NULL WHERE id = ?",
    "UPDATE private_memories SET body = NULL WHERE id = ?",
    "UPDATE damaged SET body = NULL WHERE id = ?",
)
HEALED = "DELETE FROM damaged WHERE id = ?"

RECORD = "position, id, header, signature, signature_sum, body, packed"
READ = f"SELECT {RECORD} FROM records WHERE id IN ({{ids}})"
SCAN = """
SELECT position, id, header, signature, signature_sum, {body}, packed FROM records
WHERE position > :after AND position <= :base ORDER BY position LIMIT :limit
"""
OF_KIND = f"""
SELECT {RECORD} FROM records
WHERE kind = :kind AND position > :after AND position <= :base ORDER BY position LIMIT :limit
"""
_STORED = "SELECT position, kind, id, header, body, packed FROM records"
SHARED_AT = f"{_STORED} WHERE position IN ({{keys}})"
SHARED_WITH = f"{_STORED} WHERE id IN ({{keys}})"
SHARED = f"SELECT {RECORD}, NULL AS created_ms FROM records"
PRIVATE = "SELECT position, id, NULL, NULL, NULL, body, NULL, created_ms FROM private_memories"
ONE_MEMORY = f"{SHARED} WHERE id = :id UNION ALL {PRIVATE} WHERE id = :id"
MEMORIES = f"""
{SHARED} WHERE kind = :kind AND position > :after AND position <= :base
UNION ALL
{PRIVATE} WHERE position > :after AND position <= :base
ORDER BY position LIMIT :limit
"""
LATEST = f"""
SELECT {RECORD} FROM records
WHERE kind = :kind AND position < :below ORDER BY position DESC LIMIT :limit
"""
LAST_ID = "SELECT id FROM records WHERE position <= :position ORDER BY position DESC LIMIT 1"
_SOME = ", ".join([":id"] * 20)  # among so many SQLite may find another index cheaper
QUERIES: Final = (
    READ.format(ids=_SOME), SHARED_WITH.format(keys=_SOME), SCAN.format(body="body"),
    SHARED_AT.format(keys=_SOME.replace("id", "position")),
    OF_KIND, ONE_MEMORY, MEMORIES, LATEST, LAST_ID,
)  # fmt: skip
