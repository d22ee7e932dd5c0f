package wal2es;

import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.nio.file.Path;

import org.elasticsearch.bootstrap.ServerArgs;
import org.elasticsearch.common.io.stream.OutputStreamStreamOutput;
import org.elasticsearch.common.settings.KeyStoreWrapper;
import org.elasticsearch.common.settings.Settings;

/**
 * {@code Launch CONFIG_DIR LOGS_DIR KEY=VALUE...} runs the server in this process. The server reads its arguments from
 * standard input, as bytes that Elastic's launcher writes there; that launcher is not published for 9.
 */
public final class Launch {
    private Launch() {}

    public static void main(String[] args) throws Exception {
        Settings.Builder settings = Settings.builder();
        for (int i = 2; i < args.length; i++) {
            String[] keyValue = args[i].split("=", 2);
            settings.put(keyValue[0], keyValue[1]);
        }
        // daemonize: the end of standard input does not end the server
        var server = new ServerArgs(true, false, null, KeyStoreWrapper.create(), settings.build(), Path.of(args[0]), Path.of(args[1]));
        var bytes = new ByteArrayOutputStream();
        server.writeTo(new OutputStreamStreamOutput(bytes));
        System.setIn(new ByteArrayInputStream(bytes.toByteArray()));

        var main = Class.forName("org.elasticsearch.bootstrap.Elasticsearch").getMethod("main", String[].class);
        main.setAccessible(true);
        main.invoke(null, (Object) new String[0]);
    }
}
