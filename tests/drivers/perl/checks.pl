#!/usr/bin/perl
# Perl's DBD::Pg against one tenant. tests/support/foreign.py says what the environment holds, and what
# is printed.
use strict;
use warnings;
use utf8;

use DBD::Pg qw(:async :pg_types);
use DBI;

use constant LARGE => 8 * 1024 * 1024;

my $copy_in = $ENV{COPY_IN} eq 'yes';
my $listens = $ENV{LISTENS} eq 'yes';
my $serial = 0;

# The host, the port and the password stand in the environment, where libpq finds them.
sub connect_to {
    my ($user, $password, $database, %options) = @_;
    return DBI->connect("dbi:Pg:dbname=$database", $user, $password,
        {RaiseError => 1, PrintError => 0, AutoCommit => 1, pg_enable_utf8 => 1, %options});
}

sub tenant { return connect_to(@ENV{qw(PGUSER PGPASSWORD PGDATABASE)}, @_) }

sub neighbour {
    return connect_to(@ENV{qw(NEIGHBOUR_USER NEIGHBOUR_PASSWORD NEIGHBOUR_DATABASE)}, @_);
}

sub unique {
    my ($prefix) = @_;
    return join '-', $prefix, $$, time, $serial++, int rand 1e9;
}

sub same {
    my ($found, $expected) = @_;
    $found = 'undef' unless defined $found;
    die "expected $expected, found $found\n" unless $found eq $expected;
    return;
}

sub fails {
    my ($sqlstate, $handle, $action) = @_;
    die "no error $sqlstate\n" if eval { $action->(); 1 };
    same($handle->state, $sqlstate);
    return;
}

sub value { my ($db, @query) = @_; return ($db->selectrow_array(shift @query, undef, @query))[0] }

my @checks = (
    insert_select => sub {
        my ($db) = @_;
        my $name = unique('n');
        my $insert = $db->prepare(
            'INSERT INTO thing (name, amount, body, data) VALUES (?, ?, ?, ?) RETURNING id');
        $insert->bind_param(1, $name);
        $insert->bind_param(2, 5);
        $insert->bind_param(3, 'grüße ☂');
        $insert->bind_param(4, "\x00\xff", {pg_type => PG_BYTEA});
        $insert->execute;
        my ($id) = $insert->fetchrow_array;
        my @row = $db->selectrow_array('SELECT name, amount, body, data FROM thing WHERE id = ?',
            undef, $id);
        same(join('|', @row), join '|', $name, '5.00', 'grüße ☂', "\x00\xff");
    },

    transactions => sub {
        my ($db) = @_;
        my ($kept, $lost) = map { unique($_) } qw(kept lost);
        my $insert = 'INSERT INTO thing (name) VALUES (?)';
        $db->begin_work;
        $db->do($insert, undef, $kept);
        $db->pg_savepoint('here');
        fails('23505', $db, sub { $db->do($insert, undef, $kept) });
        $db->pg_rollback_to('here');
        $db->commit;
        $db->begin_work;
        $db->do($insert, undef, $lost);
        $db->rollback;
        same(value($db, 'SELECT string_agg(name, ?) FROM thing WHERE name IN (?, ?)', ' ', $kept,
                $lost), $kept);
    },

    # Server-side statements with names of the driver's own (dbdpg_pPID_1), the same in both.
    prepared_1000 => sub {
        my ($db) = @_;
        my @both = map { [$_, $_->prepare('SELECT ?::int + 1', {pg_prepare_now => 1})] }
            $db, tenant();
        for my $i (1 .. 1000) {
            my $statement = $both[$i % 2][1];
            $statement->execute($i);
            same(($statement->fetchrow_array)[0], $i + 1);
        }
        $_->[1]->finish for @both;
        $both[1][0]->disconnect;
    },

    # The driver deallocates a statement by its name when it goes out of scope.
    many_statements => sub {
        my ($db) = @_;
        for my $i (1 .. 100) {
            my $statement = $db->prepare("SELECT ?::int + $i", {pg_prepare_now => 1});
            $statement->execute(1);
            same(($statement->fetchrow_array)[0], $i + 1);
        }
    },

    errors => sub {
        my ($db) = @_;
        my %codes = (
            'SELEKT ?' => '42601',
            'SELECT 1/0 WHERE ?::text IS NOT NULL' => '22012',
            'SELECT ? FROM nowhere' => '42P01',
            'INSERT INTO thing (name, body) VALUES (NULL, ?)' => '23502',
        );
        for my $sql (sort keys %codes) {
            fails($codes{$sql}, $db, sub { $db->do($sql, undef, 'x') });
            same(value($db, 'SELECT 1'), 1);
        }
    },

    failed_transaction => sub {
        my ($db) = @_;
        $db->begin_work;
        fails('22012', $db, sub { $db->do('SELECT 1/0') });
        fails('25P02', $db, sub { $db->do('SELECT 1') });
        same($db->pg_ping, 4);
        $db->rollback;
        same(value($db, 'SELECT 1'), 1);
        same($db->ping, 1);
    },

    batch => sub {
        my ($db) = @_;
        my $prefix = unique('batch');
        my $insert = $db->prepare('INSERT INTO thing (name, amount) VALUES (?, ?)');
        $db->begin_work;
        same($insert->execute_array({}, [map { "$prefix$_" } 1 .. 300], [1 .. 300]), 300);
        $db->commit;
        same(value($db, 'SELECT count(*) FROM thing WHERE name LIKE ?', "$prefix%"), 300);
    },

    copy_out => sub {
        my ($db) = @_;
        $db->do('COPY (SELECT i FROM generate_series(1, 1000) i) TO STDOUT');
        my ($total, $row) = (0, '');
        $total += $row while $db->pg_getcopydata($row) >= 0;
        same($total, 500500);
    },

    copy_in => sub {
        my ($db) = @_;
        my $prefix = unique('copy');
        my $load = sub {
            $db->do('COPY thing (name, amount) FROM STDIN');
            $db->pg_putcopydata("$prefix$_\t$_\n") for 1 .. 1000;
            $db->pg_putcopyend;
        };
        $copy_in ? $load->() : fails('0A000', $db, $load);
        same(value($db, 'SELECT count(*) FROM thing WHERE name LIKE ?', "$prefix%"),
            $copy_in ? 1000 : 0);
    },

    large => sub {
        my ($db) = @_;
        my ($name, $body) = (unique('large'), 'p' x LARGE);
        $db->do('INSERT INTO thing (name, body) VALUES (?, ?)', undef, $name, $body);
        die "large values differ\n"
            unless value($db, 'SELECT body FROM thing WHERE name = ?', $name) eq $body;
        $db->do('DELETE FROM thing WHERE name = ?', undef, $name);
    },

    cursor => sub {
        my ($db) = @_;
        my $total = 0;
        $db->begin_work;
        $db->do('DECLARE many CURSOR FOR SELECT i FROM generate_series(1, 1000) i');
        while (my @rows = @{$db->selectcol_arrayref('FETCH 90 FROM many')}) {
            $total += $_ for @rows;
        }
        $db->commit;
        same($total, 500500);
    },

    cancel => sub {
        my ($db) = @_;
        my $statement = $db->prepare('SELECT pg_sleep(60)', {pg_async => PG_ASYNC});
        $statement->execute;
        same($db->pg_ready, 0);
        same($db->pg_cancel, 1);
        same(value($db, 'SELECT ?::int', $_), $_) for 1 .. 20;
    },

    query_timeout => sub {
        my ($db) = @_;
        $db->do(q{SET statement_timeout = '300ms'});
        fails('57014', $db, sub { $db->do('SELECT pg_sleep(60)') });
        same(value($db, 'SHOW statement_timeout'), '300ms');
    },

    metadata => sub {
        my ($db) = @_;
        my $schema = value($db, 'SELECT current_schema()');
        my $columns = $db->column_info(undef, $schema, 'kind', '%')->fetchall_arrayref({});
        same(join(' ', map { $_->{COLUMN_NAME} } @$columns), 'code title');
        my @key = $db->primary_key(undef, $schema, 'kind');
        same("@key", 'code');
        my $statement = $db->prepare('SELECT name, amount FROM thing LIMIT 0');
        $statement->execute;
        same("@{$statement->{NAME}}", 'name amount');
    },

    # It asks for the sequence and its currval, which is the server session's.
    last_insert_id => sub {
        my ($db) = @_;
        my $name = unique('n');
        $db->begin_work;
        $db->do('INSERT INTO thing (name) VALUES (?)', undef, $name);
        my $id = $db->last_insert_id(undef, undef, undef, undef, {sequence => 'thing_id_seq'});
        $db->commit;
        same(value($db, 'SELECT name FROM thing WHERE id = ?', $id), $name);
    },

    settings => sub {
        my @zones = qw(Asia/Tokyo America/New_York Europe/Berlin);
        my @clients = map { tenant() } @zones;
        $clients[$_]->do("SET TIME ZONE '$zones[$_]'") for 0 .. 2;
        same(value($clients[$_ % 3], 'SHOW TimeZone'), $zones[$_ % 3]) for 0 .. 29;
        $_->disconnect for @clients;
    },

    listen => sub {
        my ($db) = @_;
        if ($listens) {
            my ($heard, $end) = (undef, time + 20);
            my $other = tenant();
            $db->do('LISTEN news');
            $other->do(q{NOTIFY news, 'hello'});
            $other->disconnect;
            $heard = $db->pg_notifies until $heard || time > $end;
            same($heard && $heard->[2], 'hello');
        }
        else {
            fails('0A000', $db, sub { $db->do('LISTEN news') });
        }
        same(value($db, 'SELECT 1'), 1);
    },

    # DBI's own pool, connect_cached, a connection each; everybody reads his own row alone.
    cached_of_two_tenants => sub {
        my $name = unique('shared');
        my @tenants = ([@ENV{qw(PGUSER PGPASSWORD PGDATABASE)}],
            [@ENV{qw(NEIGHBOUR_USER NEIGHBOUR_PASSWORD NEIGHBOUR_DATABASE)}]);
        my $cached = sub {
            my ($user, $password, $database) = @{$tenants[$_[0]]};
            return DBI->connect_cached("dbi:Pg:dbname=$database", $user, $password,
                {RaiseError => 1, PrintError => 0});
        };
        $cached->($_)->do('INSERT INTO thing (name, body) VALUES (?, ?)', undef, $name, $_)
            for 0, 1;
        for my $i (0 .. 99) {
            my $statement = $cached->($i % 2)->prepare_cached('SELECT body FROM thing WHERE name = ?');
            same(join(' ', @{$cached->($i % 2)->selectcol_arrayref($statement, undef, $name)}), $i % 2);
        }
        $cached->($_)->disconnect for 0, 1;
    },
);

binmode STDOUT, ':encoding(UTF-8)';
$| = 1;
while (my ($name, $check) = splice @checks, 0, 2) {
    my $db = eval { tenant() };
    if (eval { $check->($db || die $DBI::errstr); 1 }) {
        print "ok $name\n";
    }
    else {
        (my $error = $@) =~ s/\s*\n\s*/ | /g;
        print "failed $name: $error\n";
    }
    $db->disconnect if $db;
}
