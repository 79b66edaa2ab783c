// Rows spread over threads that live as long as the call: nothing stays behind that a fork could inherit half, and
// nobody spins. Must not include Python.
#ifndef LIC_NN_STRIPS_H
#define LIC_NN_STRIPS_H

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <system_error>
#include <thread>
#include <vector>

namespace lic::nn {

constexpr std::size_t kStripRows = 4;  // of the latent grid that a thread is worth

// work(begin, end) for strips of `rows` rows, at most one a thread. The first error is thrown on once all have ended.
template <class Work>
void in_strips(std::size_t rows, std::size_t threads, const Work& work) {
    const std::size_t strips = std::max<std::size_t>(1, std::min(threads, rows / kStripRows));
    std::vector<std::exception_ptr> errors(strips);
    std::atomic<std::size_t> next{0};
    const auto run = [&] {
        for (std::size_t n = next++; n < strips; n = next++) {
            try {
                work(rows * n / strips, rows * (n + 1) / strips);
            } catch (...) {
                errors[n] = std::current_exception();
            }
        }
    };
    std::vector<std::thread> others;
    try {
        others.reserve(strips);
        for (std::size_t t = 1; t < strips; ++t) others.emplace_back(run);
    } catch (const std::system_error&) {  // no more threads to be had: those that are there do it all
    }
    run();
    for (std::thread& thread : others) thread.join();
    for (const std::exception_ptr& error : errors) {
        if (error) std::rethrow_exception(error);
    }
}

}  // namespace lic::nn

#endif
