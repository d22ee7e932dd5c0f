package wal2es;

import java.lang.instrument.Instrumentation;

/** The server attaches the jar in lib/entitlement-agent, whose original is not published, and names the class to start. */
public final class EntitlementAgent {
    private EntitlementAgent() {}

    public static void agentmain(String initializer, Instrumentation instrumentation) throws ReflectiveOperationException {
        Class.forName(initializer).getMethod("initialize", Instrumentation.class).invoke(null, instrumentation);
    }
}
