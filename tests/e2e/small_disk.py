"""A spore whose log has room for so many pages only, until there is a file that says otherwise.

    PAGES=200 ROOM=/folder/room python tests/e2e/small_disk.py --port 7860 …

SQLite refuses what does not fit exactly as it does on a full disk; everything else is the spore.
"""

from __future__ import annotations

import os
import sqlite3
import sys
import threading
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parents[2]
PLENTY: Final = 1 << 30
LOOK_S: Final = 0.05


def grow(connection: sqlite3.Connection) -> None:
    """Lift the quota once the file is there."""
    never = threading.Event()
    while not Path(os.environ["ROOM"]).exists():
        never.wait(LOOK_S)
    connection.execute(f"PRAGMA max_page_count = {PLENTY}")


if __name__ == "__main__":
    sys.path[0] = str(ROOT)
    from synapse.cli import main
    from synapse.storage import sqlite_log

    plain = sqlite_log.open_writer

    def open_writer(path: Path, **settings: Any) -> sqlite3.Connection:
        """As it is, with a quota."""
        connection = plain(path, **settings)
        connection.execute(f"PRAGMA max_page_count = {os.environ['PAGES']}")
        threading.Thread(target=grow, args=(connection,), daemon=True).start()
        return connection

    sqlite_log.open_writer = open_writer
    main(["serve", *sys.argv[1:]])
