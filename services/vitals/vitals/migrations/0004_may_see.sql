-- Whether the holder of a key may read a user's rows, told in one statement: what the service remembers of a user is
-- handed out only behind it. The rule is that of the policies, by their own function, so the two cannot differ. The
-- setting ends with the statement's transaction.
CREATE FUNCTION internal.may_see(key_digest text, wanted bigint) RETURNS boolean
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM set_config('vitals.key_digest', key_digest, true);
    RETURN wanted = ANY (internal.visible_users());
END
$$;

REVOKE EXECUTE ON FUNCTION internal.may_see(text, bigint) FROM PUBLIC;
