#!/usr/bin/env bash
# The whole Python suite over a core that is built with a sanitizer:
#
#   suite.sh asan|tsan [arguments of pytest]
#
# The suite runs in a copy of the tree, in build/suite-<mode>, whose bundled core is the instrumented
# one; Python itself is not instrumented, so the sanitizer's runtime is loaded before it, into every
# child process too. What a sanitizer says goes to files, whichever process it is about; the run
# fails if there is one, whatever the tests said. PYTHON names the interpreter, which has the
# packages that the suite needs; CC the compiler.
#
# Left out: tests/packaging, which builds cores of its own, and the vendor's library, which reads
# beyond its buffers (AddressSanitizer ends it with the first message). ThreadSanitizer cannot follow
# a process that forks with threads and then starts threads in the child ("dup thread with used id").
set -euo pipefail

mode=${1:?asan or tsan}
shift
native=$(cd "$(dirname "$0")/.." && pwd)
root=$(dirname "$native")
python=${PYTHON:-python3}
cc=${CC:-cc}
build=$native/build
tree=$build/suite-$mode
reports=$build/reports-$mode

case $mode in
asan) runtime=libasan.so ;;
tsan) runtime=libtsan.so ;;
*) echo "unknown mode $mode" >&2; exit 2 ;;
esac

# A compiler without it prints the bare name.
if [[ $("$cc" -print-file-name=$runtime) != /* ]]; then
  echo "$cc has no $runtime; the suite needs GCC with its sanitizers" >&2
  exit 2
fi

make -C "$native" MODE="$mode" OUT="build/$mode/libsmartbus_core.so" CC="$cc" PYTHON="$python"
rm -rf "$tree" "$reports"
mkdir -p "$tree" "$reports"
tar -C "$root" -cf - --exclude=./.git --exclude=./.venv --exclude=./native/build \
  --exclude='*/__pycache__' --exclude='./.*_cache' --exclude=./.hypothesis . | tar -C "$tree" -xf -
cp "$build/$mode/libsmartbus_core.so" "$tree/smartbus/_c/"

# C++ is preloaded because the runtime must know its exceptions before any module brings them.
preload="$("$cc" -print-file-name=$runtime) $("$cc" -print-file-name=libstdc++.so.6)"
# Rows of the vendor's tables take the memory away; the core must say so, not the sanitizer.
no_memory=allocator_may_return_null=1
run=()
left_out=(--ignore=tests/packaging)
if [ "$mode" = asan ]; then
  helper=thread_exit
  # Stacks of two frames: our leaks are told from those of others by who called malloc, and all that
  # Python calls has Python further down. Memory of Python's own allocator would hide pointers to ours,
  # so it uses malloc.
  export ASAN_OPTIONS="log_path=$reports/asan:detect_leaks=1:malloc_context_size=2:$no_memory"
  export LSAN_OPTIONS="suppressions=$native/sanitize/leaks.txt:print_suppressions=0"
  export UBSAN_OPTIONS="log_path=$reports/ubsan:print_stacktrace=1"
  export PYTHONMALLOC=malloc
else
  left_out+=(
    --deselect=tests/net/test_processes.py::test_a_forked_child_leaves_the_parents_library_alone
    --deselect=tests/ipc_client/test_processes.py::test_a_fork
  )
  helper=early
  export TSAN_OPTIONS="log_path=$reports/tsan:$no_memory"
  # Python forks with threads; it is not instrumented, so what it does without our code is its own.
  TSAN_OPTIONS+=":die_after_fork=0:ignore_noninstrumented_modules=1:report_signal_unsafe=0"
  setarch -R true 2>/dev/null && run=(setarch -R) # not all kernels' address spaces suit it
fi
"$cc" -std=c11 -D_GNU_SOURCE -Wall -Wextra -Werror -shared -fPIC -pthread \
  -o "$build/$mode/$helper.so" "$native/sanitize/$helper.c"
preload+=" $build/$mode/$helper.so"

export SMARTBUS_TEST_WITHOUT_VENDOR=1
# Everything takes several times as long, and what is waited for must come all the same.
export SMARTBUS_TEST_PATIENCE=5
patience=(-o timeout=300 -o smartbus_leak_grace=25)
export CI=1 # Hypothesis takes slow examples for flaky ones otherwise
cd "$tree"
status=0
# A copy of an installed package must not come first.
"${run[@]}" env LD_PRELOAD="$preload" PYTHONPATH="$tree" "$python" -m pytest \
  "${left_out[@]}" "${patience[@]}" -p no:cacheprovider "$@" || status=$?
# Not what is merely said: LeakSanitizer mentions threads that it could not stop for its look, and
# the others ("WARNING: AddressSanitizer failed to …", without a colon) memory that they did not get.
mapfile -t found < <(grep -lrE 'ERROR:|WARNING: [A-Za-z]*Sanitizer:|runtime error|CHECK failed|dup thread' "$reports")
if [ "${#found[@]}" -gt 0 ]; then
  head -n 60 "${found[@]}" >&2
  echo "$mode: ${#found[@]} reports in $reports" >&2
  exit 1
fi
[ "$status" -eq 0 ] && echo "$mode: nothing to report"
exit "$status"
