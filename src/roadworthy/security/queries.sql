-- name: pin_plans
-- Statistics that were gathered while there were few keys would have each verification read all of them.
SET enable_seqscan = off;

-- name: read_keys
-- What is known of keys by their ids. How long one works on is told in seconds, whatever the clock of who asks says.
SELECT id, digest, keys, name, owner, scopes, "limit", created_at, expires_at,
    extract(epoch FROM expires_at - clock_timestamp())::float8 AS expires_in,
    revoked_at IS NOT NULL AS revoked
FROM roadworthy.api_keys
WHERE id = ANY ($1::text[]);

-- name: touch_keys
-- Locked in the order of their ids, so that two processes which do this at once do not wait for each other for ever.
WITH used AS (
    SELECT id, now() - make_interval(secs => ago) AS at FROM unnest($1::text[], $2::float8[]) AS one (id, ago)
), locked AS MATERIALIZED (
    SELECT k.id FROM roadworthy.api_keys AS k JOIN used USING (id) ORDER BY k.id FOR NO KEY UPDATE OF k
)
UPDATE roadworthy.api_keys AS k
SET last_used_at = used.at
FROM used JOIN locked USING (id)
WHERE k.id = used.id AND (k.last_used_at IS NULL OR k.last_used_at < used.at);

-- name: add_key
INSERT INTO roadworthy.api_keys (id, digest, keys, name, owner, scopes, "limit", expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, now() + $8::interval)
ON CONFLICT (id) DO NOTHING
RETURNING *;

-- name: lock_key
-- A key that can still be changed.
SELECT *, expires_at - created_at AS lifetime FROM roadworthy.api_keys
WHERE id = $1 AND keys = coalesce($2, keys) AND revoked_at IS NULL
    AND (expires_at IS NULL OR expires_at > clock_timestamp())
FOR UPDATE;

-- name: replace_key
UPDATE roadworthy.api_keys
SET replaced_by = $2,
    expires_at = least(expires_at, now() + $3::interval),
    revoked_at = CASE WHEN $3::interval <= interval '0' THEN now() END
WHERE id = $1
RETURNING *;

-- name: revoke_key
UPDATE roadworthy.api_keys SET revoked_at = now()
WHERE id = $1 AND keys = coalesce($2, keys) AND revoked_at IS NULL
RETURNING *;

-- name: find_key
SELECT * FROM roadworthy.api_keys WHERE id = $1;

-- name: list_keys
-- The latest first; a page goes on after the key that the one before ended with.
SELECT k.* FROM roadworthy.api_keys AS k
WHERE k.keys = coalesce($1, k.keys)
    AND k.owner = coalesce($2, k.owner)
    AND ($3 OR (k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())))
    AND ($4::text IS NULL
        OR (k.created_at, k.id) < (SELECT b.created_at, b.id FROM roadworthy.api_keys AS b WHERE b.id = $4))
ORDER BY k.created_at DESC, k.id DESC
LIMIT $5;
