# Ruby's pg against one tenant. tests/support/foreign.py says what the environment holds, and what is
# printed.
require "pg"
require "securerandom"

LARGE = 8 * 1024 * 1024
COPY_IN = ENV["COPY_IN"] == "yes"
LISTENS = ENV["LISTENS"] == "yes"
NEIGHBOUR = { user: ENV["NEIGHBOUR_USER"], password: ENV["NEIGHBOUR_PASSWORD"],
              dbname: ENV["NEIGHBOUR_DATABASE"] }.freeze

def unique(prefix = "n")
  "#{prefix}-#{SecureRandom.hex(6)}"
end

def same(found, expected)
  raise "expected #{expected.inspect}, found #{found.inspect}" unless found == expected
end

def fails(error)
  yield
rescue error => raised
  raised
else
  raise "no #{error}"
end

# The host, the port and the tenant stand in the environment, where libpq finds them.
def connect(**options)
  PG.connect(**options)
end

CHECKS = {
  insert_select: lambda do |db|
    name = unique
    made = db.exec_params("INSERT INTO thing (name, amount, body, data) VALUES ($1, $2, $3, $4)" \
                          " RETURNING id", [name, 5, "grüße ☂", { value: "\0\xff".b, format: 1 }])
    found = db.exec_params("SELECT name, amount, body, data FROM thing WHERE id = $1",
                           [made.getvalue(0, 0)])
    same(found.values, [[name, "5.00", "grüße ☂", "\\x00ff"]])
    binary = db.exec_params("SELECT data FROM thing WHERE name = $1", [name], 1)
    same(binary.getvalue(0, 0), "\0\xff".b)
  end,

  type_maps: lambda do |db|
    # Asks pg_type for what the server has.
    db.type_map_for_results = PG::BasicTypeMapForResults.new(db)
    db.type_map_for_queries = PG::BasicTypeMapForQueries.new(db)
    found = db.exec_params("SELECT $1 + 1, ARRAY[1, 2], true, '2026-01-02'::date", [41])
    same(found.values, [[42, [1, 2], true, Date.new(2026, 1, 2)]])
  end,

  transactions: lambda do |db|
    kept, lost = unique("kept"), unique("lost")
    db.transaction do
      db.exec_params("INSERT INTO thing (name) VALUES ($1)", [kept])
      db.exec("SAVEPOINT here")
      fails(PG::UniqueViolation) { db.exec_params("INSERT INTO thing (name) VALUES ($1)", [kept]) }
      db.exec("ROLLBACK TO SAVEPOINT here")
    end
    fails(ZeroDivisionError) do
      db.transaction do
        db.exec_params("INSERT INTO thing (name) VALUES ($1)", [lost])
        raise ZeroDivisionError
      end
    end
    found = db.exec_params("SELECT name FROM thing WHERE name IN ($1, $2)", [kept, lost])
    same(found.column_values(0), [kept])
    same(db.transaction_status, PG::PQTRANS_IDLE)
  end,

  prepared_1000: lambda do |db|
    other = connect
    [db, other].each { |each| each.prepare("plus", "SELECT $1::int + 1") }
    1000.times do |i|
      same([db, other][i % 2].exec_prepared("plus", [i]).getvalue(0, 0), (i + 1).to_s)
    end
    same(db.describe_prepared("plus").nfields, 1)
    db.exec("DEALLOCATE plus")
    fails(PG::InvalidSqlStatementName) { db.exec_prepared("plus", [1]) }
    same(other.exec_prepared("plus", [1]).getvalue(0, 0), "2")
    other.close
  end,

  errors: lambda do |db|
    { "SELEKT" => PG::SyntaxError, "SELECT 1/0" => PG::DivisionByZero,
      "TABLE nowhere" => PG::UndefinedTable,
      "INSERT INTO thing (name) VALUES (NULL)" => PG::NotNullViolation }.each do |sql, error|
      fails(error) { db.exec(sql) }
      fails(error) { db.exec_params(sql, []) }
      same(db.exec("SELECT 1").getvalue(0, 0), "1")
    end
  end,

  failed_transaction: lambda do |db|
    db.exec("BEGIN")
    fails(PG::DivisionByZero) { db.exec("SELECT 1/0") }
    fails(PG::InFailedSqlTransaction) { db.exec("SELECT 1") }
    same(db.transaction_status, PG::PQTRANS_INERROR)
    db.exec("ROLLBACK")
    same(db.exec("SELECT 1").getvalue(0, 0), "1")
  end,

  pipeline: lambda do |db|
    db.enter_pipeline_mode
    100.times { |i| db.send_query_params("SELECT $1::int", [i]) }
    db.pipeline_sync
    100.times do |i|
      same(db.get_result.getvalue(0, 0), i.to_s)
      same(db.get_result, nil)
    end
    same(db.get_result.result_status, PG::PGRES_PIPELINE_SYNC)
    db.exit_pipeline_mode
  end,

  copy_out: lambda do |db|
    rows = []
    db.copy_data("COPY (SELECT i FROM generate_series(1, 1000) i) TO STDOUT") do
      while (row = db.get_copy_data)
        rows << row.to_i
      end
    end
    same(rows, (1..1000).to_a)
  end,

  copy_in: lambda do |db|
    prefix = unique("copy")
    load = lambda do
      db.copy_data("COPY thing (name, amount) FROM STDIN") do
        1000.times { |i| db.put_copy_data("#{prefix}#{i}\t#{i}\n") }
      end
    end
    COPY_IN ? load.call : fails(PG::FeatureNotSupported, &load)
    found = db.exec_params("SELECT count(*) FROM thing WHERE name LIKE $1", ["#{prefix}%"])
    same(found.getvalue(0, 0), COPY_IN ? "1000" : "0")
  end,

  large: lambda do |db|
    name, body, data = unique("large"), "r" * LARGE, "\1".b * LARGE
    db.exec_params("INSERT INTO thing (name, body, data) VALUES ($1, $2, $3)",
                   [name, body, { value: data, format: 1 }])
    found = db.exec_params("SELECT body, data FROM thing WHERE name = $1", [name], 1)
    raise "large values differ" unless found.getvalue(0, 0) == body && found.getvalue(0, 1) == data

    db.exec_params("DELETE FROM thing WHERE name = $1", [name])
  end,

  single_rows: lambda do |db|
    db.send_query("SELECT i FROM generate_series(1, 1000) i")
    db.set_single_row_mode
    total = 0
    db.get_result.stream_each { |row| total += row["i"].to_i }
    same(total, 500_500)
    db.get_result
  end,

  cancel: lambda do |db|
    db.send_query("SELECT pg_sleep(60)")
    db.cancel until db.block(0.2)
    fails(PG::QueryCanceled) { db.get_last_result }
    20.times { |i| same(db.exec_params("SELECT $1::int", [i]).getvalue(0, 0), i.to_s) }
  end,

  query_timeout: lambda do |db|
    db.exec("SET statement_timeout = '300ms'")
    fails(PG::QueryCanceled) { db.exec("SELECT pg_sleep(60)") }
    same(db.exec("SHOW statement_timeout").getvalue(0, 0), "300ms")
  end,

  metadata: lambda do |db|
    found = db.exec("SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute" \
                    " WHERE attrelid = 'kind'::regclass AND attnum > 0 ORDER BY attnum")
    same(found.values, [%w[code text], %w[title text]])
    result = db.exec("SELECT amount FROM thing LIMIT 0")
    same([result.fname(0), result.ftype(0), result.fmod(0)], ["amount", 1700, (12 << 16) + 2 + 4])
  end,

  settings: lambda do |_db|
    zones = %w[Asia/Tokyo America/New_York Europe/Berlin]
    clients = zones.map { |zone| connect(options: "-c TimeZone=#{zone}", application_name: zone) }
    30.times do |i|
      found = clients[i % 3].exec("SELECT current_setting('TimeZone'), " \
                                  "current_setting('application_name')")
      same(found.values, [[zones[i % 3]] * 2])
      same(clients[i % 3].parameter_status("TimeZone"), zones[i % 3])
    end
    clients.each(&:close)
  end,

  # What Rails does with a connection that it takes back: all is as after the login.
  discard_all: lambda do |db|
    db.prepare("one", "SELECT 1")
    db.exec("SET work_mem = '7MB'")
    db.exec("DISCARD ALL")
    fails(PG::InvalidSqlStatementName) { db.exec_prepared("one") }
    same(db.exec("SHOW work_mem").getvalue(0, 0), "4MB")
    db.prepare("one", "SELECT 1")
    same(db.exec_prepared("one").getvalue(0, 0), "1")
  end,

  reset: lambda do |db|
    db.reset
    same(db.exec("SELECT 1").getvalue(0, 0), "1")
  end,

  listen: lambda do |db|
    if LISTENS
      db.exec("LISTEN news")
      connect.tap { |other| other.exec("NOTIFY news, 'hello'") }.close
      heard = nil
      db.wait_for_notify(20) { |_channel, _pid, payload| heard = payload }
      same(heard, "hello")
    else
      fails(PG::FeatureNotSupported) { db.exec("LISTEN news") }
    end
    same(db.exec("SELECT 1").getvalue(0, 0), "1")
  end,

  # Everybody writes the same natural key, and reads his own row alone, each in threads of its own.
  threads_of_two_tenants: lambda do |_db|
    name = unique("shared")
    tenants = [{}, NEIGHBOUR]
    tenants.each_with_index do |tenant, i|
      connect(**tenant).tap do |db|
        db.exec_params("INSERT INTO thing (name, body) VALUES ($1, $2)", [name, i.to_s])
      end.close
    end
    threads = 8.times.map do |i|
      Thread.new do
        db = connect(**tenants[i % 2])
        30.times do
          found = db.exec_params("SELECT body FROM thing WHERE name = $1", [name])
          same(found.column_values(0), [(i % 2).to_s])
        end
        db.close
      end
    end
    threads.each(&:join)
  end
}.freeze

$stdout.sync = true
Thread.report_on_exception = false
CHECKS.each do |name, check|
  db = connect
  check.call(db)
  puts "ok #{name}"
rescue StandardError => e
  puts "failed #{name}: #{e.class}: #{e.message} at #{e.backtrace&.first(3)}".gsub(/\s*\n\s*/, " | ")
ensure
  db&.close unless db&.finished?
end
