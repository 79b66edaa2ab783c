// A main for the fuzzers where there is no libFuzzer, as with g++, and where several threads shall fuzz at once, as
// under ThreadSanitizer: drive SECONDS THREADS [FILE ...]. Inputs are random bytes, and the files with some bytes
// changed.
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <random>
#include <thread>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

using Input = std::vector<std::uint8_t>;
constexpr std::size_t kMost = 4096;  // bytes

Input changed(const std::vector<Input>& corpus, std::mt19937& random) {
    Input input;
    if (!corpus.empty() && random() % 2) {
        input = corpus[random() % corpus.size()];
    } else {
        input.resize(random() % (random() % 8 ? 256 : kMost));
        for (auto& byte : input) byte = static_cast<std::uint8_t>(random());
    }
    for (auto changes = random() % 8; changes > 0 && !input.empty(); --changes) {
        input[random() % input.size()] = static_cast<std::uint8_t>(random());
    }
    return input;
}

}  // namespace

int main(int count, char** arguments) {
    if (count < 3) return 2;
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(std::atoi(arguments[1]));
    std::vector<Input> corpus;
    for (int n = 3; n < count; ++n) {
        std::ifstream file(arguments[n], std::ios::binary);
        corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
    std::atomic<std::uint64_t> done{0};
    const auto fuzz = [&](unsigned seed) {
        std::mt19937 random(seed);
        while (std::chrono::steady_clock::now() < end) {
            const Input input = changed(corpus, random);
            LLVMFuzzerTestOneInput(input.data(), input.size());
            ++done;
        }
    };
    std::vector<std::thread> threads;
    for (int n = 0; n < std::atoi(arguments[2]); ++n) threads.emplace_back(fuzz, 1u + static_cast<unsigned>(n));
    for (std::thread& thread : threads) thread.join();
    std::printf("%llu inputs\n", static_cast<unsigned long long>(done));
    return 0;
}
