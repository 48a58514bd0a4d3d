-- A little to look at, by the accounts that are there already.
insert into public.user_roles (user_id, role)
select id, raw_app_meta_data ->> 'role' from auth.users where raw_app_meta_data ? 'role' order by email;

insert into public.tweets (user_id, content)
select u.id, seed.content
from (values
  (1, 'alice@example.com', 'Only I can read this.'),
  (2, 'alice@example.com', 'The kettle is on.'),
  (3, 'bob@example.com', 'Alice cannot see this one.'),
  (4, 'vera@example.com', 'Reading is also work.')
) as seed (place, email, content)
join auth.users as u using (email)
order by seed.place;

insert into public.articles (title, content, status, author_id)
select seed.title, seed.content, seed.status, u.id
from (values
  (1, 'dave@example.com', 'How rivers find the sea', 'Downhill, mostly.', 'published'),
  (2, 'dave@example.com', 'A draft about drafts', 'Not finished.', 'draft'),
  (3, 'carol@example.com', 'Old news', 'It was new once.', 'archived')
) as seed (place, email, title, content, status)
join auth.users as u using (email)
order by seed.place;

insert into public.notes (body, status, author_id)
select seed.body, seed.status, u.id
from (values
  (1, 'dave@example.com', 'Published: the viewer sees me too.', 'published'),
  (2, 'dave@example.com', 'Draft: editors and admins only.', 'draft')
) as seed (place, email, body, status)
join auth.users as u using (email)
order by seed.place;

insert into public.countries (name) values ('Iceland'), ('Kenya'), ('Peru'), ('Vietnam');
