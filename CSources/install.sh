#!/usr/bin/env bash
# Builds Muster in release and installs it for C programs, or takes an installation away again.
#
#   CSources/install.sh --prefix PREFIX [--destdir DIRECTORY] [--tool FILE | --library-only]
#   CSources/install.sh --prefix PREFIX [--destdir DIRECTORY] --uninstall
#
# What it installs under PREFIX: bin/muster; lib/libmuster.so (C core and Swift in one, Swift's own
# library inside), lib/libCMuster.a (the C core alone); include/muster/; lib/pkgconfig/muster.pc;
# lib/cmake/Muster/; manual pages; and share/muster/installed, the list of all that, which is what
# --uninstall goes by. A user who may write to PREFIX can run it.
#
# DIRECTORY stands in front of PREFIX while files are copied, for packages. FILE is a `muster` that is
# built already, to be installed instead of one that needs no Swift on the machine where it runs. With
# --library-only there is no bin/muster, and there are no manual pages: for packages that only link.
[ -n "${BASH_VERSION:-}" ] || exec bash "$0" "$@" # sh has none of what follows
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
parts=$root/CSources/install
scratch=$root/.build/install
prefix='' destdir='' tool='' uninstall=false library_only=false

fail() { printf 'install.sh: %s\n' "$1" >&2; exit "${2:-1}"; }

while [ $# -gt 0 ]; do
    case $1 in
    --prefix | --destdir | --tool)
        [ $# -ge 2 ] || fail "$1 needs a path" 64
        case $2 in
        /*) ;;
        *) fail "$1 $2: needs an absolute path" 64 ;;
        esac
        case $1 in
        --prefix) prefix=${2%/} ;;
        --destdir) destdir=${2%/} ;;
        --tool) tool=$2 ;;
        esac
        shift 2
        ;;
    --uninstall) uninstall=true; shift ;;
    --library-only) library_only=true; shift ;;
    --help) sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"; exit 0 ;;
    *) fail "unknown argument $1 (see --help)" 64 ;;
    esac
done
[ -n "$prefix" ] || fail "say where: --prefix /usr/local" 64

target=$destdir$prefix
list=share/muster/installed

# -- uninstalling ------------------------------------------------------------------------------

# The list names files as "f PATH" and directories that were made for them as "d PATH", relative to
# the prefix, a directory after all that is in it. Directories with other people's files stay.
remove_installed() {
    local kind path
    while read -r kind path; do
        case $kind in
        f) rm -f "$target/$path" ;;
        d) rmdir "$target${path:+/$path}" 2>/dev/null || true ;;
        esac
    done <"$1"
}

if $uninstall; then
    [ -e "$target/$list" ] || fail "nothing is installed under $target: it has no $list"
    [ -w "$target/share/muster" ] || fail "can't write to $target: run this as its owner"
    copy=$(mktemp)
    trap 'rm -f "$copy"' EXIT
    cp "$target/$list" "$copy"
    remove_installed "$copy"
    exit 0
fi

# -- what it needs -----------------------------------------------------------------------------

[ "$(uname -s)" = Linux ] || fail "Muster is for Linux"
command -v swift >/dev/null || fail \
    "swift is missing: install Swift 6.3 (https://www.swift.org/install/linux) and put it on PATH"
command -v python3 >/dev/null || fail \
    "python3 is missing, which lists the functions and makes their manual pages: apt-get install python3"
compiler=$(command -v cc || command -v gcc || command -v clang) || fail \
    "a C compiler is missing: apt-get install gcc"

# The nearest directory that is there must let us make the others.
there=$target
until [ -e "$there" ]; do there=$(dirname "$there"); done
[ -d "$there" ] && [ -w "$there" ] || fail "can't write to $there: choose another --prefix, or run this as its owner"

# -- building ----------------------------------------------------------------------------------

version=$(sed -n 's/^#define MUSTER_VERSION "\(.*\)"/\1/p' "$root/include/muster/base.h")
major=${version%%.*}
minor=${version#*.}
minor=${minor%%.*}
# muster.h has no functions of its own; what it leaves out is for Muster's tests and its tool.
mapfile -t headers < <("$parts/man.py" headers "$root/include/muster/muster.h")

# Exported is what the installed headers declare.
mkdir -p "$scratch"
{
    echo '{ global:'
    "$parts/man.py" functions "${headers[@]}" | sed 's/$/;/'
    echo 'local: *; };'
} >"$scratch/exports.map"

# With lld: Debian's gold leaves names of Swift types in the table of dynamic symbols, as local ones.
# Files are named relative to the checkout, whose place is nobody's business: in assertions, too.
build() {
    (cd "$root" && swift build -c release --scratch-path "$scratch" -Xswiftc -static-stdlib \
        -Xcc "-ffile-prefix-map=$root=." -Xswiftc -file-prefix-map -Xswiftc "$root=." \
        -Xswiftc -Xclang-linker -Xswiftc -fuse-ld=lld "$@")
}
products=$(build --show-bin-path)
# The linker's script is no input that the build knows of.
rm -f "$products/libmuster-dynamic.so"
build --product muster-dynamic -Xlinker "-soname=libmuster.so.$major" \
    -Xlinker "--version-script=$scratch/exports.map"
build --product CMuster
if [ -z "$tool" ] && ! $library_only; then
    # A library that is in the program itself is none that each new rank has to map: a team of 64 ranks
    # starts and ends in half the time. The C library stays one, since kernels for `muster bench
    # kernel` are loaded. Where an archive is missing, its library is used.
    archives=$scratch/archives
    rm -rf "$archives"
    mkdir "$archives"
    for pair in libstdc++.a:libstdc++.a libgcc_eh.a:libgcc_s.a; do
        archive=$("$compiler" -print-file-name="${pair%:*}")
        case $archive in */*) ln -s "$archive" "$archives/${pair#*:}" ;; esac
    done
    build --product muster -Xlinker "-L$archives"
    tool=$products/muster
fi

# -- installing --------------------------------------------------------------------------------

stage=$(mktemp -d "$scratch/stage.XXXXXX")
trap 'rm -rf "$stage"' EXIT
mkdir -p "$stage"/{bin,lib/pkgconfig,lib/cmake/Muster,include/muster,share/man,share/muster}
chmod 755 "$stage"

$library_only || install -m 755 "$tool" "$stage/bin/muster"
install -m 755 "$products/libmuster-dynamic.so" "$stage/lib/libmuster.so.$version"
ln -s "libmuster.so.$version" "$stage/lib/libmuster.so.$major"
ln -s "libmuster.so.$major" "$stage/lib/libmuster.so"
install -m 644 "$products/libCMuster.a" "$stage/lib/libCMuster.a"
if command -v strip >/dev/null; then
    strip --strip-unneeded "$stage/lib/libmuster.so.$version"
    $library_only || strip --strip-unneeded "$stage/bin/muster"
fi
install -m 644 "${headers[@]}" "$root/include/muster/muster.h" "$stage/include/muster"

# Where the dynamic linker does not look by itself, programs are told.
case $prefix in
/usr | /usr/local) runpath= ;;
*) runpath=' -Wl,-rpath,${libdir}' ;;
esac
fill_in() {   # FILE - as FILE.in, with the values that are known now
    sed -e "s|@PREFIX@|$prefix|g" -e "s|@VERSION@|$version|g" -e "s|@MAJOR@|$major|g" \
        -e "s|@MINOR@|$minor|g" -e "s|@RUNPATH@|$runpath|g" "$parts/$(basename "$1").in" >"$1"
}
fill_in "$stage/lib/pkgconfig/muster.pc"
fill_in "$stage/lib/cmake/Muster/MusterConfig.cmake"
fill_in "$stage/lib/cmake/Muster/MusterConfigVersion.cmake"

if ! $library_only; then
    date=$(git -C "$root" log -1 --format=%cs 2>/dev/null || date +%F)
    "$stage/bin/muster" --experimental-dump-help >"$scratch/help.json"
    "$parts/man.py" pages --date "$date" --version "$version" --to "$stage/share/man" \
        --tool-help "$scratch/help.json" "${headers[@]}"
fi

# What an earlier installation had and this one has not goes first.
if [ -e "$target/$list" ]; then
    cp "$target/$list" "$scratch/earlier"
    remove_installed "$scratch/earlier"
fi
made=()
make_directory() {   # PATH within the prefix - and those above, noting the ones that were not there
    [ -d "$target/$1" ] && return
    if [ "$1" = . ]; then mkdir -p "$target"; else
        make_directory "$(dirname "$1")"
        mkdir "$target/$1"
    fi
    made=("d ${1#.}" "${made[@]+"${made[@]}"}")
}
(cd "$stage" && find . ! -type d | sed 's|^\./||' | sort) >"$scratch/files"
echo "$list" >>"$scratch/files"
while read -r file; do make_directory "$(dirname "$file")"; done <"$scratch/files"
{ sed 's/^/f /' "$scratch/files"; printf '%s\n' "${made[@]+"${made[@]}"}"; } >"$stage/$list"
chmod 644 "$stage/$list"
while read -r file; do cp -P --preserve=mode "$stage/$file" "$target/$file"; done <"$scratch/files"

if [ -z "$destdir" ] && [ -z "$runpath" ] && [ "$(id -u)" = 0 ]; then ldconfig; fi
printf 'installed Muster %s under %s\n' "$version" "$target"
