"""A Tiled server of one machine: SQLite or PostgreSQL, loopback, one key."""

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from lab.catalog_address import CatalogError, reason

if TYPE_CHECKING:
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")
KEY_VARIABLE = "TILED_SINGLE_USER_API_KEY"
KEY_FILE = "key"
PATIENCE = 10.0
"""Seconds in which a database must let itself be opened."""


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
        Address of a PostgreSQL database; what is missing of it libpq's variables and ``~/.pgpass`` may say.

    Raises
    ------
    ValueError
        If the address is none of PostgreSQL.
    CatalogError
        If the database cannot be used.
    """
    data = store / "data"
    data.mkdir(parents=True, exist_ok=True)
    nodes, tables = database_addresses(database) if database else _files(store)
    _prepare(nodes, tables if database else None)

    from tiled.catalog import from_uri
    from tiled.config import Authentication
    from tiled.server.app import build_app

    tree = from_uri(nodes, writable_storage=[data, tables])
    return build_app(tree, Authentication(single_user_api_key=catalog_key(store)))


def _files(store: Path) -> tuple[str, str]:
    return f"sqlite+aiosqlite:///{store / 'catalog.db'}", f"duckdb:///{store / 'tables.duckdb'}"


def database_addresses(database: str) -> tuple[str, str]:
    """Return the address of a database as SQLAlchemy's asyncpg takes it, and as libpq does.

    Raises
    ------
    ValueError
        If it is none of PostgreSQL; the message has nothing of it in it.
    """
    url = _postgresql(database)
    nodes = url.set(query={"ssl" if key == "sslmode" else key: value for key, value in url.query.items()})
    tables = url.set(drivername="postgresql")
    if url.username and not url.password:  # Tiled would give libpq the password "None"
        tables = tables._replace(username=None, password=None).update_query_dict({"user": url.username})
    return nodes.render_as_string(hide_password=False), tables.render_as_string(hide_password=False)


def _postgresql(database: str) -> "URL":
    """Read the address of a database; a user and a password in its query come out of it, which Tiled shows."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        url = make_url(database)
        known = url.drivername in ("postgresql", "postgres", "postgresql+asyncpg") and "@" not in (url.host or "")
    except (SQLAlchemyError, ValueError):
        known = False
    if not known:
        raise ValueError("a database is named as postgresql://USER@HOST:PORT/NAME, with %40 for an @ in a password")
    taken = {key: str(url.query[key]) for key in ("user", "password") if key in url.query}
    user, password = taken.get("user", url.username), taken.get("password", url.password)
    rest = url.difference_update_query(taken)
    return rest._replace(drivername="postgresql+asyncpg", username=user, password=password)


def _prepare(nodes: str, tables: str | None) -> None:
    """Try a database, and lay out a new one, in this process: on the command line of another its password is shown."""
    from tiled.alembic_utils import stamp_head
    from tiled.catalog.alembic_constants import ALEMBIC_DIR, ALEMBIC_INI_TEMPLATE_PATH
    from tiled.catalog.core import initialize_database

    try:
        is_new = asyncio.run(_with_engine(nodes, _is_new))
        if tables is not None:
            _try_tables(tables)
        if is_new:
            asyncio.run(_with_engine(nodes, initialize_database))
            stamp_head(ALEMBIC_INI_TEMPLATE_PATH, ALEMBIC_DIR, nodes)
    except Exception as error:  # noqa: BLE001 - SQLAlchemy, asyncpg, libpq and Tiled have no error in common
        raise CatalogError(_unusable(nodes, error)) from None


async def _with_engine(address: str, act: Callable[["AsyncEngine"], Awaitable[T]]) -> T:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(address, connect_args={"timeout": PATIENCE})
    try:
        return await act(engine)
    finally:
        await engine.dispose()


async def _is_new(engine: "AsyncEngine") -> bool:
    from tiled.alembic_utils import UninitializedDatabase, check_database
    from tiled.catalog.core import ALL_REVISIONS, REQUIRED_REVISION

    try:
        await check_database(engine, REQUIRED_REVISION, ALL_REVISIONS)
    except UninitializedDatabase:
        return True
    return False


def _try_tables(address: str) -> None:
    from adbc_driver_postgresql import dbapi

    dbapi.connect(address).close()


def _unusable(address: str, error: Exception) -> str:
    """Say that a database cannot be used, and why, without its password."""
    from sqlalchemy.engine import make_url

    url = make_url(address)
    why = reason(getattr(getattr(error, "orig", None), "__cause__", None) or error)
    if url.password and str(url.password) in why:
        why = type(error).__name__
    return f"the database {url.database} at {url.host or url.query.get('host', 'localhost')} cannot be used: {why}"


def serve_catalog(store: Path, *, database: str | None, address: str, port: int, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C; the key is never printed."""
    import uvicorn

    app = catalog_app(store, database=database)
    where = f"${KEY_VARIABLE}" if KEY_VARIABLE in os.environ else str(store / KEY_FILE)
    say(f"the catalog is at http://{address}:{port}; its key is in {where}")
    uvicorn.run(app, host=address, port=port, log_level="warning", access_log=False)
    say("stopped")
