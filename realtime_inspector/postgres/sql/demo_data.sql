-- A little to look at, for the accounts that are there already. Authors are found by e-mail.
insert into public.user_roles (user_id, role)
select id, raw_app_meta_data ->> 'role' from auth.users where raw_app_meta_data ? 'role';

insert into public.tweets (user_id, content)
select u.id, seed.content
from (values
  ('alice@example.com', 'Only I can read this.'),
  ('alice@example.com', 'The kettle is on.'),
  ('bob@example.com', 'Alice cannot see this one.'),
  ('vera@example.com', 'Reading is also work.')
) as seed (email, content)
join auth.users as u using (email);

insert into public.articles (title, content, status, author_id)
select seed.title, seed.content, seed.status, u.id
from (values
  ('dave@example.com', 'How rivers find the sea', 'Downhill, mostly.', 'published'),
  ('dave@example.com', 'A draft about drafts', 'Not finished.', 'draft'),
  ('carol@example.com', 'Old news', 'It was new once.', 'archived')
) as seed (email, title, content, status)
join auth.users as u using (email);

insert into public.notes (body, status, author_id)
select seed.body, seed.status, u.id
from (values
  ('dave@example.com', 'Published: the viewer sees me too.', 'published'),
  ('dave@example.com', 'Draft: editors and admins only.', 'draft')
) as seed (email, body, status)
join auth.users as u using (email);

insert into public.countries (name) values ('Iceland'), ('Kenya'), ('Peru'), ('Vietnam');
