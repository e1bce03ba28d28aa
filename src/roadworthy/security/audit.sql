-- name: add_entry
INSERT INTO roadworthy.audit (actor, action, subject, origin, request_id, detail)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: read_entries
SELECT id, at, actor, action, subject, origin, request_id, detail FROM roadworthy.audit
WHERE ($1::text IS NULL OR action = $1 OR action LIKE $1 || '.%')
    AND ($2::text IS NULL OR subject = $2)
    AND ($3::text IS NULL OR actor = $3)
    AND ($4::timestamptz IS NULL OR at >= $4)
    AND id < $5
ORDER BY id DESC
LIMIT $6;
