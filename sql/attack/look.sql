-- Looks round as a session of the attacker's and tells it in one message (INFO, which no setting
-- keeps back, SQLSTATE RV001): who it is; relations that show the victim's secret, or rows of
-- tenants other than itself; whether a query of the victim's is visible. The words in braces are put in by
-- src/attack; the secret stands in two halves, so that it does not find this very text.
DO $look$
DECLARE
    secret text := '%' || {secret_a:s} || {secret_b:s} || '%';
    activity text := '%' || {activity_a:s} || {activity_b:s} || '%';
    relation record;
    hit boolean;
    tenant bigint;
    leaks jsonb := '[]';
BEGIN
    FOR relation IN
        SELECT format('%I.%I', n.nspname, c.relname) AS name,
               EXISTS (SELECT FROM pg_catalog.pg_attribute a
                       WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
                         AND a.atttypid = 'pg_catalog.int8'::pg_catalog.regtype) AS has_tenant
        FROM pg_catalog.pg_class c
        JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
        WHERE c.relkind IN ('r', 'v', 'm', 'p', 'f')
          AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
          AND (n.nspname = {schema:s}
               OR pg_catalog.has_schema_privilege(n.oid, 'USAGE')
                  AND pg_catalog.has_any_column_privilege(c.oid, 'SELECT'))
        UNION ALL
        SELECT 'pg_catalog.' || view, false
        FROM unnest(ARRAY['pg_prepared_statements', 'pg_cursors', 'pg_seclabels']) AS v(view)
    LOOP
        BEGIN
            EXECUTE format('SELECT EXISTS (SELECT FROM %s t WHERE t::text LIKE $1)', relation.name)
            INTO hit USING secret;
            IF hit THEN
                leaks := leaks || to_jsonb('the victim''s rows in ' || relation.name);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
        CONTINUE WHEN NOT relation.has_tenant;
        BEGIN
            EXECUTE format('SELECT EXISTS (SELECT FROM %s WHERE tenant_id <> $1)', relation.name)
            INTO hit USING {own_id}::bigint;
            IF hit THEN
                leaks := leaks || to_jsonb('rows of other tenants in ' || relation.name);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            NULL;
        END;
    END LOOP;
    BEGIN
        IF EXISTS (SELECT FROM pg_catalog.pg_stat_activity
                   WHERE query LIKE activity AND pid <> pg_catalog.pg_backend_pid()) THEN
            leaks := leaks || to_jsonb('the victim''s query in pg_stat_activity'::text);
        END IF;
    EXCEPTION WHEN OTHERS THEN
        NULL;
    END;
    BEGIN
        EXECUTE 'SELECT reeve.tenant_id()' INTO tenant;
    EXCEPTION WHEN OTHERS THEN
        NULL;
    END;
    RAISE INFO USING ERRCODE = 'RV001', MESSAGE = jsonb_build_object(
        'session_user', session_user, 'current_user', current_user, 'tenant', tenant,
        'leaks', leaks)::text;
END
$look$
