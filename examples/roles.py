"""What admin, editor, viewer and a user without a role may do in the demo, by roles in a table and by roles in the token.

RTI_URL=http://127.0.0.1:4000 RTI_KEY=ADMIN_TOKEN python examples/roles.py
"""

import json
import os
from urllib.error import HTTPError
from urllib.request import Request, urlopen

HEADERS = {"Authorization": f"Bearer {os.environ['RTI_KEY']}", "Content-Type": "application/json"}


def ask(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    try:
        return json.load(urlopen(Request(f"{os.environ['RTI_URL']}/api/v1/{path}", data, HEADERS)))
    except HTTPError as error:
        return json.load(error)


def become(name, **more):
    (user,) = ask(f"admin/users?search={name}@example.com")["users"]
    wish = {"target_user_id": user["id"], "reason": "example of roles", "concurrent": True, **more}
    return ask("auth/impersonate", wish)["session"]["id"], user["id"]


def run(session, sql, mode="rollback"):
    answer = ask("sql", {"session_id": session, "sql": sql, "mode": mode})
    return answer["rows"] if "rows" in answer else f"{answer['sqlstate']} {answer['error']}"


sessions = {name: become(name) for name in ("carol", "dave", "vera", "bob")}
for name, (session, _) in sessions.items():
    for table in ("articles", "notes"):
        print(name, table, "reads", *run(session, f"select status from {table} group by 1 order by 1"))

for name, (session, _) in sessions.items():
    print(name, "writes", run(session, "insert into articles (title) values ('mine') returning status"))
    print(name, "writes", run(session, "insert into notes (body) values ('mine') returning status"))

vera, vera_id = sessions["vera"]
carol = sessions["carol"][0]
run(carol, f"insert into user_roles (user_id, role) values ('{vera_id}', 'editor')", mode="commit")
print("promoted: articles", run(vera, "select count(*) from articles where status = 'draft'"))
print("promoted: notes", run(vera, "select count(*) from notes where status = 'draft'"))
fresh, _ = become("vera", claims={"app_metadata": {"role": "editor"}})
print("with a new token: notes", run(fresh, "select count(*) from notes where status = 'draft'"))
run(carol, f"delete from user_roles where user_id = '{vera_id}' and role = 'editor'", mode="commit")
