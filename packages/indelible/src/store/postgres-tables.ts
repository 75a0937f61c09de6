/**
 * The tables of a `postgres:` store, as migrations. The first makes what a log is; the second the index of queries, which is
 * derived and may be emptied at any time; the third keeps that index from putting back what was erased while it was read;
 * the fourth lets a writer who knows the head lock and write in one question.
 *
 * Who may do what: the owner of the schema everything; a writer SELECT, INSERT and the functions that move the head; a reader
 * SELECT. Rows are visible by `access`: by log, and within it by tenant. Row-level security stands on the partitioned
 * parents, which are read; rows come in by COPY, which refuses tables with row-level security, straight into partitions,
 * which nobody but writers may touch.
 */

/** The SQL of each version, for a schema of the given name. Version N is the first N of them. */
export const MIGRATIONS: readonly ((schema: string) => string)[] = [
  logTables,
  indexTables,
  indexGenerations,
  lockOfKnownHead,
]

function logTables(s: string): string {
  return `
    CREATE TABLE ${s}.logs (
      id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, origin text COLLATE "C" NOT NULL UNIQUE, partition_size bigint NOT NULL
    );
    CREATE TABLE ${s}.access (
      role text NOT NULL, rights text NOT NULL CHECK (rights IN ('write', 'read')),
      log int REFERENCES ${s}.logs, tenant text COLLATE "C",
      CHECK (rights = 'read' OR tenant IS NULL), UNIQUE (role, rights, log, tenant)
    );
    CREATE TABLE ${s}.entries (
      log int NOT NULL, idx bigint NOT NULL, entry bytea NOT NULL, leaf bytea NOT NULL, mac bytea NOT NULL,
      epoch bigint NOT NULL, tenant text COLLATE "C", PRIMARY KEY (log, idx)
    ) PARTITION BY RANGE (log, idx);
    CREATE TABLE ${s}.payloads (
      log int NOT NULL, idx bigint NOT NULL, name text COLLATE "C" NOT NULL, disclosure text NOT NULL,
      tenant text COLLATE "C", PRIMARY KEY (log, idx, name)
    ) PARTITION BY RANGE (log, idx);
    -- One table for all: ids are unique in a log. The parent is there for row-level security only.
    CREATE TABLE ${s}.ids (
      log int NOT NULL, id text COLLATE "C" NOT NULL, idx bigint NOT NULL, digest bytea, tenant text COLLATE "C",
      PRIMARY KEY (log, id)
    ) PARTITION BY LIST (log);
    CREATE TABLE ${s}.ids_all PARTITION OF ${s}.ids DEFAULT;
    CREATE INDEX ON ${s}.ids (log, idx);
    CREATE TABLE ${s}.subjects (
      log int NOT NULL, subject bytea NOT NULL, idx bigint NOT NULL, tenant text COLLATE "C", PRIMARY KEY (log, subject, idx)
    ) PARTITION BY LIST (log);
    CREATE TABLE ${s}.subjects_all PARTITION OF ${s}.subjects DEFAULT;
    -- Statistics are samples: values that were erased would stay in them.
    ${['payloads.disclosure', 'ids.digest', 'ids_all.digest', 'subjects.subject', 'subjects_all.subject'].map((column) => noStatistics(s, column)).join('\n')}
    -- hashes apart: reading a level's roots must not fetch them.
    CREATE TABLE ${s}.tiles (
      log int NOT NULL, level int NOT NULL, tile bigint NOT NULL, root bytea NOT NULL, hashes bytea NOT NULL,
      PRIMARY KEY (log, level, tile)
    );
    ALTER TABLE ${s}.tiles ALTER COLUMN hashes SET STORAGE EXTERNAL;
    CREATE TABLE ${s}.checkpoints (log int NOT NULL, size bigint NOT NULL, note text NOT NULL, PRIMARY KEY (log, size));
    -- There from the beginning, with size 0: what the first append locks.
    CREATE TABLE ${s}.head (
      log int PRIMARY KEY REFERENCES ${s}.logs, size bigint NOT NULL, frontier bytea NOT NULL, mac bytea NOT NULL,
      epoch bigint NOT NULL, observed text NOT NULL, checkpoint text NOT NULL, published text NOT NULL,
      min_index bigint NOT NULL, room bigint NOT NULL
    ) WITH (fillfactor = 50);

    CREATE VIEW ${s}.mine AS SELECT a.log, a.tenant, a.rights = 'write' AS writes FROM ${s}.access a
      JOIN pg_catalog.pg_roles r ON r.rolname = a.role WHERE pg_has_role(current_user, r.oid, 'USAGE');
    ${['entries', 'payloads', 'ids', 'subjects'].map((table) => tenantPolicy(s, table)).join('\n')}
    ${['tiles', 'checkpoints', 'head'].map((table) => logPolicy(s, table, 'log')).join('\n')}
    ${logPolicy(s, 'logs', 'id')}

    -- The triggers stop accidents, also of the owner. Whoever can drop them is caught by the tree.
    CREATE FUNCTION ${s}.refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN RAISE EXCEPTION '% of % refused: append-only', TG_OP, TG_TABLE_NAME USING ERRCODE = 'IL002'; END $$;
    CREATE FUNCTION ${s}.refuse_above_purged() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF OLD.idx >= (SELECT min_index FROM ${s}.head WHERE log = OLD.log) THEN
        RAISE EXCEPTION 'DELETE of % refused: append-only', TG_TABLE_NAME USING ERRCODE = 'IL002';
      END IF;
      RETURN OLD;
    END $$;
    CREATE TRIGGER no_update BEFORE UPDATE ON ${s}.entries FOR EACH ROW EXECUTE FUNCTION ${s}.refuse();
    CREATE TRIGGER no_delete BEFORE DELETE ON ${s}.entries FOR EACH ROW EXECUTE FUNCTION ${s}.refuse_above_purged();
    CREATE TRIGGER no_delete BEFORE DELETE ON ${s}.ids FOR EACH ROW EXECUTE FUNCTION ${s}.refuse();
    -- Of an id, only the digest may change: it is erased.
    CREATE TRIGGER no_update BEFORE UPDATE ON ${s}.ids FOR EACH ROW
      WHEN (NEW.log <> OLD.log OR NEW.id <> OLD.id OR NEW.idx <> OLD.idx OR NEW.digest IS NOT NULL)
      EXECUTE FUNCTION ${s}.refuse();
    ${['tiles', 'checkpoints']
      .map(
        (table) =>
          `CREATE TRIGGER no_change BEFORE UPDATE OR DELETE ON ${s}.${table} FOR EACH ROW EXECUTE FUNCTION ${s}.refuse();`,
      )
      .join('\n')}
    CREATE TRIGGER no_delete BEFORE DELETE ON ${s}.head FOR EACH ROW EXECUTE FUNCTION ${s}.refuse();
    CREATE TRIGGER only_rises BEFORE UPDATE ON ${s}.head FOR EACH ROW
      WHEN (NEW.min_index < OLD.min_index OR NEW.size < OLD.size) EXECUTE FUNCTION ${s}.refuse();
    ${['entries', 'payloads', 'ids', 'tiles', 'checkpoints', 'head']
      .map(
        (table) =>
          `CREATE TRIGGER no_truncate BEFORE TRUNCATE ON ${s}.${table} FOR EACH STATEMENT EXECUTE FUNCTION ${s}.refuse();`,
      )
      .join('\n')}

    -- What a writer may do to the head, which it may not UPDATE. session_user: within, current_user is the owner.
    CREATE FUNCTION ${s}.check_writer(wanted int) RETURNS void LANGUAGE plpgsql ${DEFINER} AS $$
    BEGIN
      IF NOT pg_has_role(session_user, current_user, 'USAGE') AND NOT EXISTS (
        SELECT FROM ${s}.access a JOIN pg_roles r ON r.rolname = a.role
        WHERE a.rights = 'write' AND (a.log IS NULL OR a.log = wanted) AND pg_has_role(session_user, r.oid, 'USAGE')
      ) THEN RAISE EXCEPTION 'role % may not write this log', session_user USING ERRCODE = 'IL002'; END IF;
    END $$;
    CREATE FUNCTION ${s}.lock_head(wanted int) RETURNS TABLE (now_ms float8, head ${s}.head) LANGUAGE plpgsql ${DEFINER} AS $$
    DECLARE found_head ${s}.head;
    BEGIN
      PERFORM ${s}.check_writer(wanted);
      SELECT * INTO found_head FROM ${s}.head h WHERE h.log = wanted FOR UPDATE;
      IF found_head.log IS NULL THEN RAISE EXCEPTION 'the log is gone' USING ERRCODE = 'IL003'; END IF;
      RETURN QUERY SELECT extract(epoch FROM clock_timestamp())::float8 * 1000, found_head;
    END $$;
    CREATE FUNCTION ${s}.move_head(
      wanted int, from_size bigint, new_size bigint, new_frontier bytea, new_mac bytea, new_epoch bigint, new_observed text,
      new_checkpoint text, new_published text, publish boolean,
      levels int[], tiles bigint[], roots bytea[], hashes bytea[]
    ) RETURNS void LANGUAGE plpgsql ${DEFINER} AS $$
    BEGIN
      PERFORM ${s}.check_writer(wanted);
      UPDATE ${s}.head SET size = new_size, frontier = new_frontier, mac = new_mac, epoch = new_epoch,
        observed = new_observed, checkpoint = new_checkpoint, published = new_published
        WHERE log = wanted AND size = from_size;
      IF NOT FOUND THEN RAISE EXCEPTION 'the log has another size' USING ERRCODE = 'IL001'; END IF;
      INSERT INTO ${s}.tiles (log, level, tile, root, hashes) SELECT wanted, t.* FROM unnest(levels, tiles, roots, hashes) t;
      IF publish THEN INSERT INTO ${s}.checkpoints VALUES (wanted, new_size, new_checkpoint); END IF;
    END $$;
    CREATE FUNCTION ${s}.publish(wanted int, new_size bigint, new_note text) RETURNS void LANGUAGE plpgsql ${DEFINER} AS $$
    BEGIN
      PERFORM ${s}.check_writer(wanted);
      INSERT INTO ${s}.checkpoints VALUES (wanted, new_size, new_note) ON CONFLICT DO NOTHING;
      IF (SELECT note FROM ${s}.checkpoints WHERE log = wanted AND size = new_size) <> new_note THEN
        RAISE EXCEPTION 'another checkpoint of size % is published already', new_size USING ERRCODE = 'IL001';
      END IF;
    END $$;
    -- Partitions up to an index. Under the head lock; ATTACH does not stop readers, as CREATE … PARTITION OF would.
    CREATE FUNCTION ${s}.make_room(wanted int, below bigint) RETURNS bigint LANGUAGE plpgsql ${DEFINER} AS $$
    DECLARE first bigint; step bigint; part text; parent text; writer text;
    BEGIN
      PERFORM ${s}.check_writer(wanted);
      SELECT h.room, l.partition_size INTO first, step FROM ${s}.head h JOIN ${s}.logs l ON l.id = h.log
        WHERE h.log = wanted FOR UPDATE OF h;
      WHILE first < below LOOP
        FOREACH parent IN ARRAY ARRAY['entries', 'payloads'] LOOP
          part := format('%s_%s_%s', parent, wanted, first);
          EXECUTE format('CREATE TABLE ${s}.%I (LIKE ${s}.%I INCLUDING STORAGE)', part, parent);
          EXECUTE format('ALTER TABLE ${s}.%I ATTACH PARTITION ${s}.%I FOR VALUES FROM (%s, %s) TO (%s, %s)',
            parent, part, wanted, first, wanted, first + step);
          IF parent = 'payloads' THEN
            EXECUTE format('ALTER TABLE ${s}.%I ALTER COLUMN disclosure SET STATISTICS 0', part);
          END IF;
          FOR writer IN SELECT a.role FROM ${s}.access a JOIN pg_roles r ON r.rolname = a.role
            WHERE a.rights = 'write' AND (a.log IS NULL OR a.log = wanted)
          LOOP EXECUTE format('GRANT INSERT ON ${s}.%I TO %I', part, writer); END LOOP;
        END LOOP;
        first := first + step;
      END LOOP;
      UPDATE ${s}.head SET room = first WHERE log = wanted;
      RETURN first;
    END $$;
    -- Writers of any log may begin new ones.
    CREATE FUNCTION ${s}.make_log(new_origin text, new_partition_size bigint) RETURNS int LANGUAGE plpgsql ${DEFINER} AS $$
    DECLARE made int;
    BEGIN
      PERFORM ${s}.check_writer(-1);
      INSERT INTO ${s}.logs (origin, partition_size) VALUES (new_origin, new_partition_size) RETURNING id INTO made;
      INSERT INTO ${s}.head VALUES (made, 0, '', '', 0, '', '', '', 0, 0);
      PERFORM ${s}.make_room(made, 1);
      RETURN made;
    END $$;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ${s} FROM PUBLIC;
  `
}

function noStatistics(s: string, column: string): string {
  const [table, name] = column.split('.')
  return `ALTER TABLE ${s}.${table} ALTER COLUMN ${name} SET STATISTICS 0;`
}

/** Pinned: a function that runs as its owner must not find its caller's objects. */
const DEFINER = 'SECURITY DEFINER SET search_path = pg_catalog, pg_temp'

/** A log is visible to whoever may see any of it: its hashes prove what is visible, and say nothing of the rest. */
function logPolicy(s: string, table: string, column: string): string {
  return `
    ALTER TABLE ${s}.${table} ENABLE ROW LEVEL SECURITY;
    CREATE POLICY visible ON ${s}.${table} FOR SELECT USING (
      (SELECT EXISTS (SELECT FROM ${s}.mine WHERE log IS NULL)) OR ${column} IN (SELECT log FROM ${s}.mine)
    );`
}

/** The subqueries stand alone, so that each runs once for a statement and not once for a row. */
export function tenantPolicy(s: string, table: string): string {
  return `
    ALTER TABLE ${s}.${table} ENABLE ROW LEVEL SECURITY;
    CREATE POLICY visible ON ${s}.${table} FOR SELECT USING (
      (SELECT EXISTS (SELECT FROM ${s}.mine WHERE log IS NULL AND tenant IS NULL))
      OR log IN (SELECT m.log FROM ${s}.mine m WHERE m.log IS NOT NULL AND m.tenant IS NULL)
      OR tenant IN (SELECT m.tenant FROM ${s}.mine m WHERE m.log IS NULL AND m.tenant IS NOT NULL)
      OR (log, tenant) IN (SELECT m.log, m.tenant FROM ${s}.mine m WHERE m.log IS NOT NULL AND m.tenant IS NOT NULL)
    );`
}

/** Columns of the query index, beside `type`: see `query/filter.ts`. Each holds a hash of the value. */
export const INDEX_COLUMNS = [
  'type',
  'family',
  'actor',
  'on_behalf_of',
  'tenant_term',
  'session',
  'run',
  'tool',
  'model',
  'outcome',
  'decision',
  'assurance',
] as const

function indexTables(s: string): string {
  return `
    CREATE TABLE ${s}.index_state (
      log int PRIMARY KEY REFERENCES ${s}.logs, version int NOT NULL, size bigint NOT NULL, leaf bytea NOT NULL
    );
    CREATE TABLE ${s}.index_rows (
      log int NOT NULL, idx bigint NOT NULL, tenant text COLLATE "C", time text COLLATE "C" NOT NULL,
      type_name text COLLATE "C" NOT NULL, is_sealed boolean NOT NULL, ${INDEX_COLUMNS.map((column) => `${column} bigint`).join(', ')},
      PRIMARY KEY (log, idx)
    ) PARTITION BY LIST (log);
    CREATE TABLE ${s}.index_rows_all PARTITION OF ${s}.index_rows DEFAULT;
    ${INDEX_COLUMNS.map((column) => `CREATE INDEX ON ${s}.index_rows (log, ${column}, idx) WHERE ${column} IS NOT NULL;`).join('\n')}
    -- By part, so that erasing one forgets its words and no others.
    CREATE TABLE ${s}.index_words (
      log int NOT NULL, idx bigint NOT NULL, part text COLLATE "C" NOT NULL, tenant text COLLATE "C",
      words text[] COLLATE "C" NOT NULL, PRIMARY KEY (log, idx, part)
    ) PARTITION BY LIST (log);
    CREATE TABLE ${s}.index_words_all PARTITION OF ${s}.index_words DEFAULT;
    CREATE INDEX ON ${s}.index_words USING gin (words);
    ${['index_words.words', 'index_words_all.words'].map((column) => noStatistics(s, column)).join('\n')}
    -- Times run nearly with indexes: the span of each block leads a time range to a range of indexes.
    CREATE TABLE ${s}.index_blocks (
      log int NOT NULL, block bigint NOT NULL, earliest text COLLATE "C" NOT NULL, latest text COLLATE "C" NOT NULL,
      PRIMARY KEY (log, block)
    );
    -- tenant: of all its entries, else null, and then no tenant alone sees it.
    CREATE TABLE ${s}.index_runs (
      log int NOT NULL, run text COLLATE "C" NOT NULL, tenant text COLLATE "C", last bigint NOT NULL, summary text NOT NULL,
      PRIMARY KEY (log, run)
    );
    CREATE INDEX ON ${s}.index_runs (log, last);
    ${['index_rows', 'index_words', 'index_runs'].map((table) => tenantPolicy(s, table)).join('\n')}
    ${['index_state', 'index_blocks'].map((table) => logPolicy(s, table, 'log')).join('\n')}

    -- False if somebody else indexed meanwhile, or is about to.
    CREATE FUNCTION ${s}.index_lock(wanted int, wanted_version int, from_size bigint) RETURNS boolean LANGUAGE plpgsql ${DEFINER} AS $$
    BEGIN
      PERFORM ${s}.check_writer(wanted);
      INSERT INTO ${s}.index_state VALUES (wanted, wanted_version, 0, '') ON CONFLICT DO NOTHING;
      PERFORM 1 FROM ${s}.index_state WHERE log = wanted AND version = wanted_version AND size = from_size
        FOR UPDATE SKIP LOCKED;
      RETURN FOUND;
    END $$;
    CREATE FUNCTION ${s}.index_move(
      wanted int, new_size bigint, new_leaf bytea, blocks bigint[], earliests text[], latests text[],
      new_runs text[], tenants text[], lasts bigint[], summaries text[]
    ) RETURNS void LANGUAGE plpgsql ${DEFINER} AS $$
    BEGIN
      PERFORM ${s}.check_writer(wanted);
      INSERT INTO ${s}.index_blocks AS b SELECT wanted, t.* FROM unnest(blocks, earliests, latests) t
        ON CONFLICT (log, block) DO UPDATE SET earliest = least(b.earliest, excluded.earliest),
          latest = greatest(b.latest, excluded.latest);
      INSERT INTO ${s}.index_runs SELECT wanted, t.* FROM unnest(new_runs, tenants, lasts, summaries) t
        ON CONFLICT (log, run) DO UPDATE SET tenant = excluded.tenant, last = excluded.last, summary = excluded.summary;
      UPDATE ${s}.index_state SET size = new_size, leaf = new_leaf WHERE log = wanted;
    END $$;
    CREATE FUNCTION ${s}.index_reset(wanted int, new_version int) RETURNS void LANGUAGE plpgsql ${DEFINER} AS $$
    BEGIN
      PERFORM ${s}.check_writer(wanted);
      INSERT INTO ${s}.index_state VALUES (wanted, new_version, 0, '')
        ON CONFLICT (log) DO UPDATE SET version = new_version, size = 0, leaf = '';
      DELETE FROM ${s}.index_rows WHERE log = wanted;
      DELETE FROM ${s}.index_words WHERE log = wanted;
      DELETE FROM ${s}.index_blocks WHERE log = wanted;
      DELETE FROM ${s}.index_runs WHERE log = wanted;
    END $$;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ${s} FROM PUBLIC;
  `
}

/**
 * `generation` rises with every deletion. Whoever indexes reads it before the log, and writes only if it is still the same;
 * whoever deletes raises it first, and so waits for one that is writing, and finds what that one wrote.
 */
function indexGenerations(s: string): string {
  return `
    ALTER TABLE ${s}.index_state ADD COLUMN generation bigint NOT NULL DEFAULT 0;
    DROP FUNCTION ${s}.index_lock(int, int, bigint);
    -- False if somebody else indexed meanwhile, or is about to, or if something was deleted.
    CREATE FUNCTION ${s}.index_lock(wanted int, wanted_version int, from_size bigint, read_at bigint)
    RETURNS boolean LANGUAGE plpgsql ${DEFINER} AS $$
    BEGIN
      PERFORM ${s}.check_writer(wanted);
      INSERT INTO ${s}.index_state VALUES (wanted, wanted_version, 0, '') ON CONFLICT DO NOTHING;
      -- Made by a deletion before anything was indexed.
      UPDATE ${s}.index_state SET version = wanted_version WHERE log = wanted AND version = 0;
      PERFORM 1 FROM ${s}.index_state
        WHERE log = wanted AND version = wanted_version AND size = from_size AND generation = read_at
        FOR UPDATE SKIP LOCKED;
      RETURN FOUND;
    END $$;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA ${s} FROM PUBLIC;
  `
}

function lockOfKnownHead(s: string): string {
  return `
    -- Only while the head is the one given, but for min_index, which a purge moves.
    CREATE FUNCTION ${s}.lock_head_at(
      wanted int, at_size bigint, at_frontier bytea, at_mac bytea, at_epoch bigint, at_observed text, at_checkpoint text,
      at_published text
    ) RETURNS void LANGUAGE plpgsql ${DEFINER} AS $$
    DECLARE found_head ${s}.head;
    BEGIN
      PERFORM ${s}.check_writer(wanted);
      SELECT * INTO found_head FROM ${s}.head h WHERE h.log = wanted FOR UPDATE;
      IF found_head.log IS NULL THEN RAISE EXCEPTION 'the log is gone' USING ERRCODE = 'IL003'; END IF;
      IF (found_head.size, found_head.frontier, found_head.mac, found_head.epoch, found_head.observed, found_head.checkpoint,
          found_head.published)
        IS DISTINCT FROM (at_size, at_frontier, at_mac, at_epoch, at_observed, at_checkpoint, at_published)
      THEN RAISE EXCEPTION 'somebody else went on with the log' USING ERRCODE = 'IL001'; END IF;
    END $$;
    REVOKE ALL ON FUNCTION ${s}.lock_head_at FROM PUBLIC;
  `
}
