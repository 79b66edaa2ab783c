// Work spread over threads that live as long as the call: nothing stays behind that a fork could inherit half, and
// nobody spins. Includes the standard library; must not include Python.
#ifndef LIC_THREADS_H
#define LIC_THREADS_H

#include <algorithm>
#include <cstddef>

// Machines without threads, as WebAssembly without shared memory and mingw's win32 model are: all runs in the calling
// thread. Results are the same.
#ifndef LIC_THREADS
#if defined(__wasm__) || (defined(__MINGW32__) && !defined(_GLIBCXX_HAS_GTHREADS))
#define LIC_THREADS 0
#else
#define LIC_THREADS 1
#endif
#endif

#if LIC_THREADS
#include <atomic>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>
#endif

namespace lic {

// work(0) to work(count - 1), on the calling thread and others. The first error is thrown on once all have ended.
template <class Work>
void in_threads(std::size_t count, std::size_t threads, const Work& work) {
#if LIC_THREADS
    std::vector<std::exception_ptr> errors(count);
    std::atomic<std::size_t> next{0};
    const auto run = [&] {
        for (std::size_t n = next++; n < count; n = next++) {
            try {
                work(n);
            } catch (...) {
                errors[n] = std::current_exception();
            }
        }
    };
    const std::size_t more = std::min(threads, count);
    std::vector<std::thread> others;
    try {
        others.reserve(more);
        for (std::size_t t = 1; t < more; ++t) others.emplace_back(run);
    } catch (const std::system_error&) {  // NOLINT(bugprone-empty-catch)
        // No more threads to be had: those that are there do it all.
    }
    run();
    for (std::thread& thread : others) thread.join();
    for (const std::exception_ptr& error : errors) {
        if (error) std::rethrow_exception(error);
    }
#else
    static_cast<void>(threads);
    for (std::size_t n = 0; n < count; ++n) work(n);
#endif
}

// work(begin, end) for strips of `rows` rows, one a thread, none of less than `least`.
template <class Work>
void in_strips(std::size_t rows, std::size_t least, std::size_t threads, const Work& work) {
    const std::size_t strips = std::max<std::size_t>(1, std::min(threads, rows / least));
    in_threads(strips, strips, [&](std::size_t n) { work(rows * n / strips, rows * (n + 1) / strips); });
}

}  // namespace lic

#endif
