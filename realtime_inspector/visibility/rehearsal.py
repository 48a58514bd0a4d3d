"""What a policy would change, and what each role may do: forms of the answers, and the templates to begin with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from realtime_inspector.model import Identity
from realtime_inspector.visibility.trace import Command

State = Literal["all", "some", "none", "raises", "no_grant"]
Texts = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Trial:
    """A candidate, tried as one identity on sampled rows. `gained`, `lost`: rows that it would see, or would not see any more.

    `differs`: so many rows are seen now by another reckoning than the selection of the rows says; the caveats say why.
    """

    identity: Identity
    before: int
    after: int
    gained: Sequence[Texts] = ()
    lost: Sequence[Texts] = ()
    sampled: int = 0
    raising: int = 0
    differs: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Cell:
    """What one identity may do in one table. `policies`: those that apply, by name."""

    state: State
    visible: int
    sampled: int
    policies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MatrixRow:
    """One identity and one table, by command."""

    schema: str
    table: str
    identity: Identity
    cells: Mapping[Command, Cell] = field(default_factory=dict)


def state(permitted: int, raising: int, sampled: int) -> State:
    """The state of a cell in one word; of an empty table nothing is known, which counts as none."""
    if raising:
        return "raises"
    if permitted == 0:
        return "none"
    return "all" if permitted == sampled else "some"


@dataclass(frozen=True, slots=True)
class Template:
    """A policy to begin with, as SQL over a table named `your_table`."""

    id: str
    title: str
    description: str
    sql: str


TEMPLATES: Final = (
    Template(
        "owner",
        "Everybody their own rows",
        "Rows carry the id of whoever owns them; only they read and change them.",
        """alter table public.your_table enable row level security;
create policy "own rows" on public.your_table to authenticated
  using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));""",
    ),
    Template(
        "role_by_claim",
        "A role in the token",
        "The role stands in app_metadata of the token: no look-up, but a change counts with the next token only.",
        """alter table public.your_table enable row level security;
create policy "editors read" on public.your_table for select to authenticated
  using ((select auth.jwt() -> 'app_metadata' ->> 'role') in ('editor', 'admin'));
create policy "admins write" on public.your_table to authenticated
  using ((select auth.jwt() -> 'app_metadata' ->> 'role') = 'admin')
  with check ((select auth.jwt() -> 'app_metadata' ->> 'role') = 'admin');""",
    ),
    Template(
        "roles_table",
        "A role in a table",
        "The role is a row of user_roles, read by a function of its own rights: a change counts at once.",
        """create table if not exists public.user_roles (user_id uuid, role text, primary key (user_id, role));
alter table public.user_roles enable row level security;
create or replace function public.has_role(wanted text) returns boolean
  language sql stable security definer set search_path = '' as $$
  select exists (select from public.user_roles where user_id = (select auth.uid()) and role = wanted)
$$;
alter table public.your_table enable row level security;
create policy "editors read" on public.your_table for select to authenticated using ((select public.has_role('editor')));
create policy "admins write" on public.your_table to authenticated
  using ((select public.has_role('admin'))) with check ((select public.has_role('admin')));""",
    ),
    Template(
        "published",
        "What is published, everybody; the rest, its author",
        "Readers see published rows; authors see and change their own.",
        """alter table public.your_table enable row level security;
create policy "published rows" on public.your_table for select to anon, authenticated using (published);
create policy "own rows" on public.your_table to authenticated
  using (user_id = (select auth.uid())) with check (user_id = (select auth.uid()));""",
    ),
    Template(
        "tenant",
        "Members of a tenant",
        "Rows belong to a tenant; its members, rows of a table, read and change them.",
        """create table if not exists public.members (tenant_id uuid, user_id uuid, primary key (tenant_id, user_id));
alter table public.members enable row level security;
create policy "own memberships" on public.members for select to authenticated using (user_id = (select auth.uid()));
grant select on public.members to authenticated;
alter table public.your_table enable row level security;
create policy "rows of my tenants" on public.your_table to authenticated
  using (tenant_id in (select m.tenant_id from public.members as m where m.user_id = (select auth.uid())))
  with check (tenant_id in (select m.tenant_id from public.members as m where m.user_id = (select auth.uid())));""",
    ),
)
