// What C++ calls where something is thrown, for WebAssembly, whose C++ library has no exceptions: the message is kept
// and the program traps. Whoever called it reads the message and makes a new instance. Nothing is ever caught, which
// the core does in threads alone (csrc/threads.h), and there are none here.
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <exception>

namespace {

char message[512];

}  // namespace

extern "C" {

// The message of what was thrown last, or nothing.
__attribute__((export_name("lic_message"))) const char* lic_message() { return message; }

void* __cxa_allocate_exception(std::size_t size) noexcept { return std::malloc(size + alignof(std::max_align_t)); }
void __cxa_free_exception(void* thrown) noexcept { std::free(thrown); }

// All that the core throws derives from std::exception, singly, so that an object begins with that.
[[noreturn]] void __cxa_throw(void* thrown, void*, void (*)(void*)) {
    std::strncpy(message, static_cast<const std::exception*>(thrown)->what(), sizeof message - 1);
    __builtin_trap();
}

}  // extern "C"
