-- name: may_see
SELECT internal.may_see($1, $2);

-- name: viewer
SELECT kind, id, name FROM viewer;

-- name: issue_to_user
INSERT INTO public.api_keys (digest, user_id, label, expires_at)
SELECT $1, id, $3, $4 FROM users WHERE reference = $2
RETURNING id;

-- name: issue_to_trainer
INSERT INTO public.api_keys (digest, trainer_id, label, expires_at)
SELECT $1, id, $3, $4 FROM trainers WHERE reference = $2
RETURNING id;

-- name: revoke
UPDATE public.api_keys SET revoked_at = now() WHERE digest = $1 AND revoked_at IS NULL RETURNING id;
