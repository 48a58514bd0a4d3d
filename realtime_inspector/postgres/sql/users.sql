-- The users that the configured query gives: $1 text to find ('' for all), $2 how many, $3 an id and $4 a role to leave out, $5 one id.
select u.*, count(*) over () as found
from (
{users_query}
) as u (id, email, app_metadata)
where ($1::text = '' or strpos(lower(u.email::text), lower($1)) > 0 or strpos(lower(u.id::text), lower($1)) = 1)
  and ($3::text is null or u.id::text <> $3)
  and ($4::text is null or (u.app_metadata::jsonb ->> 'role') is distinct from $4)
  and ($5::text is null or u.id::text = $5)
order by u.email, u.id
limit $2
