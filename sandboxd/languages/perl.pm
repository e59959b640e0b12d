# Holds Perl, already started, until the program is there. Perl has opened the
# program's file by now and reads its first line after this: what runs is the main
# program in every respect, and nothing of this file is in its messages.
use strict;
use warnings;

unless (delete $ENV{SANDBOXD_AGAIN}) {
    open my $note, '>&=', 4 or die "descriptor 4: $!";
    syswrite $note, "\n";
    close $note;
    open my $message, '<&=', 3 or die "descriptor 3: $!";
    my ($count, @fields) = split /\0/, do { local $/; <$message> }, -1;
    close $message;
    pop @fields;
    push @ARGV, splice @fields, 0, $count;
    for my $pair (@fields) {
        my ($name, $value) = split /=/, $pair, 2;
        $ENV{$name} = $value;
    }
    # Perl itself is to find the environment when it starts.
    exec $^X, '-I/sandboxd', '-Mperl', '/sandbox/main.pl', @ARGV if $ENV{SANDBOXD_AGAIN};
}
$| = 1; # a line is seen when it is printed, as at a terminal
shift @INC;
delete $INC{'perl.pm'};
1;
