-- name: become
SELECT set_config($1, $2, true), set_config('role', $3, true);

-- name: set
SELECT set_config($1, $2, true);

-- name: role_exists
SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1);

-- name: leaks
WITH reader AS (
    SELECT r.oid, r.rolname, r.rolsuper, r.rolbypassrls
    FROM pg_roles AS r
    WHERE r.rolname = coalesce($1, current_user)
),
relations AS (
    SELECT c.oid, c.oid::regclass::text AS name, c.relkind::text AS kind, c.relrowsecurity, c.relforcerowsecurity,
           c.relowner, coalesce(c.reloptions, '{}') AS options, reader.oid AS reader
    FROM pg_class AS c
    JOIN pg_namespace AS n ON n.oid = c.relnamespace
    CROSS JOIN reader
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')
      AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname !~ '^pg_'
      AND has_schema_privilege(reader.oid, n.oid, 'USAGE')
      AND (has_any_column_privilege(reader.oid, c.oid, 'SELECT, INSERT, UPDATE')
           OR has_table_privilege(reader.oid, c.oid, 'DELETE, TRUNCATE'))
      AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = c.oid AND d.deptype = 'e')
)
SELECT rolname::text AS name, 'role' AS kind, 'evades' AS why FROM reader WHERE rolsuper OR rolbypassrls
UNION ALL
SELECT name, 'table', 'open' FROM relations WHERE kind IN ('r', 'p') AND NOT relrowsecurity
UNION ALL
SELECT name, 'table', 'unforced' FROM relations WHERE kind IN ('r', 'p') AND relrowsecurity AND NOT relforcerowsecurity
UNION ALL
SELECT name, 'table', 'truncated' FROM relations WHERE kind IN ('r', 'p') AND has_table_privilege(reader, oid, 'TRUNCATE')
UNION ALL
SELECT relations.name, 'table', 'everything'
FROM relations
WHERE kind IN ('r', 'p') AND relrowsecurity
  AND EXISTS (
    SELECT FROM pg_policy AS p
    WHERE p.polrelid = relations.oid AND p.polpermissive
      AND (pg_get_expr(p.polqual, p.polrelid) = 'true'
           OR (p.polqual IS NULL AND pg_get_expr(p.polwithcheck, p.polrelid) = 'true'))
      AND EXISTS (
        SELECT FROM unnest(p.polroles) AS granted
        WHERE granted = 0 OR (granted <> relations.relowner AND pg_has_role(relations.reader, granted, 'USAGE'))
      )
  )
UNION ALL
SELECT name, 'view', 'owner' FROM relations
WHERE kind = 'v' AND NOT options && ARRAY['security_invoker=true', 'security_invoker=on', 'security_invoker=1']
UNION ALL
SELECT name, 'materialized view', 'materialized' FROM relations WHERE kind = 'm'
UNION ALL
SELECT name, 'foreign table', 'foreign' FROM relations WHERE kind = 'f'
UNION ALL
SELECT p.oid::regprocedure::text, 'function', 'definer'
FROM pg_proc AS p
JOIN pg_namespace AS n ON n.oid = p.pronamespace
CROSS JOIN reader
WHERE p.prosecdef AND n.nspname NOT IN ('pg_catalog', 'information_schema')
  AND has_function_privilege(reader.oid, p.oid, 'EXECUTE')
  AND NOT EXISTS (SELECT FROM unnest(p.proconfig) AS setting WHERE setting LIKE 'search_path=%')
  AND NOT EXISTS (SELECT FROM pg_depend AS d WHERE d.objid = p.oid AND d.deptype = 'e')
ORDER BY 1, 3;
