"""A Tiled server of one machine: SQLite or another database, loopback, one key."""

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

KEY_VARIABLE = "TILED_SINGLE_USER_API_KEY"
KEY_FILE = "key"


def catalog_key(store: Path) -> str:
    """Return the key of the server that keeps its data in `store`; it is made, for its owner's eyes only, once."""
    if key := os.environ.get(KEY_VARIABLE):
        return key
    path = store / KEY_FILE
    if not path.exists():
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_hex(32))
    return path.read_text(encoding="utf-8").strip()


def catalog_app(store: Path, *, database: str | None = None) -> Any:
    """Make the web application of a server.

    Parameters
    ----------
    store : pathlib.Path
        Where its data are kept, and its database unless another is named.
    database : str, optional
        Address of a database.
    """
    from tiled.catalog import from_uri
    from tiled.config import Authentication
    from tiled.server.app import build_app

    data = store / "data"
    data.mkdir(parents=True, exist_ok=True)
    tree = from_uri(
        database or f"sqlite:///{store / 'catalog.db'}",
        writable_storage=[data, database or f"duckdb:///{store / 'tables.duckdb'}"],
        init_if_not_exists=True,
    )
    return build_app(tree, Authentication(single_user_api_key=catalog_key(store)))


def serve_catalog(store: Path, *, database: str | None, address: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; the key is never printed."""
    import uvicorn

    app = catalog_app(store, database=database)
    where = f"${KEY_VARIABLE}" if KEY_VARIABLE in os.environ else str(store / KEY_FILE)
    say(f"the catalog is at http://{address}:{port}; its key is in {where}")
    uvicorn.run(app, host=address, port=port, log_level="warning", access_log=False)
    say("stopped")
