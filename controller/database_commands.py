"""`corridor db …`: what is done to a database itself, on the machine that reaches it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

db_app = typer.Typer(no_args_is_help=True, help="The controller's database.")

Database = Annotated[
    str,
    typer.Option("--db", envvar="CORRIDOR_DATABASE", help="sqlite:///FILE or postgresql://USER@HOST:PORT/DATABASE."),
]
DATABASE = "sqlite:///corridor.db"


@db_app.command()
def backup(
    file: Annotated[Path, typer.Argument(dir_okay=False, help="To be written; must not exist.")],
    *,
    db: Database = DATABASE,
) -> None:
    """Write all that stands into a file; controllers may go on meanwhile."""
    from controller.store import backup as backups  # other commands do not load the store

    if file.exists():
        raise typer.BadParameter(f"{file} exists")
    typer.echo(f"{asyncio.run(backups.back_up(db, file))} rows in {file}")


@db_app.command()
def restore(
    file: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="What `backup` wrote.")],
    *,
    db: Database = DATABASE,
) -> None:
    """Fill an empty database from a backup, of either kind of database; no controller may run on it yet."""
    from controller.store import backup as backups

    typer.echo(f"{asyncio.run(backups.restore(db, file))} rows from {file}")


@db_app.command()
def migrate(*, db: Database = DATABASE) -> None:
    """Bring a database to the schema of this controller; `corridor serve` does so, too."""
    typer.echo(asyncio.run(_migrate(db)))


async def _migrate(url: str) -> str:
    from controller.store.connecting import engine_of
    from controller.store.migrating import migrate_patiently, newest_revision
    from controller.store.outages import PATIENCE_S

    engine = engine_of(url)
    try:
        await migrate_patiently(engine, PATIENCE_S)
        return f"revision {newest_revision()}"
    finally:
        await engine.dispose()
